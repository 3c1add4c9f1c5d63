"""The filter of a list of runs: words, pairs, conditions, and one sentence for what is none of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cockpit.session.run_list.filter import parse_filter
from cockpit.session.run_list.listed_run import UNREADABLE, ListedRun
from engine.errors import UserError
from tests.session.run_list.listing import listed

RUNS = [
    listed("tiny-base", tags="baseline", note="The first that Converged", phase=3, lr=1e-5, skipped=4, best=0.5),
    listed("tiny-hot", phase=1, lr=1e-3, alerts=2, spikes=1, task="people", activity="failed"),
    listed("wide-base", phase=3, lr=1e-6, best=0.7, parent=("tiny-base", 40), tags="best seen"),
    listed("digits", program="train.py", lr=0.1),
    ListedRun(Path("runs/torn")).with_problem(UNREADABLE, "no journal"),
    listed("halted", phase=2, lr=0.01, is_stopped=True),
    replace(listed("live", phase=2, lr=1.0), state="running", is_live=True),
]
ALL = [run.name for run in RUNS]


def found(text: str) -> list[str]:
    return [run.name for run in parse_filter(text).of(RUNS)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ALL),
        ("   ", ALL),
        ("base", ["tiny-base", "wide-base"]),
        ("BASE tiny", ["tiny-base"]),
        ("converged", ["tiny-base"]),
        ("people", ["tiny-hot"]),
        ("train.py", ["digits"]),
        ("wdbs", ["wide-base"]),
        ("bsl", ["tiny-base"]),
        ("zzz", []),
        ("lr<=1e-5", ["tiny-base", "wide-base"]),
        ("lr <= 1e-5", ["tiny-base", "wide-base"]),
        ("phase:3", ["tiny-base", "wide-base"]),
        ("phase=3 best>.6", ["wide-base"]),
        ("lr<=1e-5 phase:3 nan:yes", ["tiny-base"]),
        ("nan:no base", ["wide-base"]),
        ("0<alerts<3", ["tiny-hot"]),
        ("alerts>0 or live", ["tiny-hot", "live"]),
        ("not base", ["tiny-hot", "digits", "torn", "halted", "live"]),
        ("not phase:3 and state:fin", ["digits"]),
        ("state:unreadable", ["torn"]),
        ("state:live", ["live"]),
        ("state:stop", ["halted"]),
        ("activity==finished and lr>=0.01", ["digits", "halted"]),
        ("activity==failed", ["tiny-hot"]),
        ("tag:best", ["wide-base"]),
        ("note:first", ["tiny-base"]),
        ('note:"first that"', ["tiny-base"]),
        ("task:train", ["digits"]),
        ("parent:tiny", ["wide-base"]),
        ("name:wide", ["wide-base"]),
        ('"lr<"', []),
        ("or", ALL),
        ("base pha", ["tiny-base", "wide-base"]),
        ("base pha ", []),
        ("pha base", []),
        ("phase:0", []),
    ],
)
def test_a_filter_finds(text: str, names: list[str]) -> None:
    assert found(text) == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr<=", "a name or a number is missing at the end"),
        ("lr<=fast", "there is no 'fast'"),
        ("phse:3", "there is no 'phse': did you mean 'phase'?"),
        ("phase:high", "phase:high is not understood: write a number, yes or no"),
        ("rate>3", "there is no 'rate'"),
        ("val/loss<2", "a list of runs does not know 'val/loss'"),
        ("activity>running", "activity is compared by == or !=, not >"),
        ("activity==cooking", "there is no activity 'cooking'"),
        ("3<4", "compares two numbers"),
    ],
)
def test_a_wrong_condition_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        parse_filter(text)
    assert said in str(error.value) and "\n" not in str(error.value)

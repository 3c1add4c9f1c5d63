"""The panel: everything on it, at any width, with what is not finite or above chance standing out."""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType

import pytest
from rich.text import Text

from cockpit.console.reporting.live_panel import panel, progress_line
from cockpit.console.reporting.run_view import RunView
from cockpit.session.incidents.incident import Incident
from cockpit.session.incidents.incidents import incidents_of
from cockpit.session.run_summary import Best
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from tests.console.scripted import CHANCE, WEIGHTS
from tests.person_state import person_state

STATE = person_state(
    run="calm",
    activity=Activity.RUNNING,
    device="cpu",
    step=250,
    epoch=2,
    total_steps=1000,
    lr=5e-6,
    phase=2,
    loss_weights=MappingProxyType(WEIGHTS),
    loss=1.2345,
    grad_norm=0.5,
    score=0.41,
    samples_per_second=8.0,
)
VIEW = RunView(
    state=STATE,
    elapsed=125.0,
    steps_per_second=2.0,
    remaining=375.0,
    pulse="running",
    terms=MappingProxyType({"cross_entropy": 0.9, "dice": 0.7, "auxiliary": math.nan}),
    chance=MappingProxyType(CHANCE),
    best=Best(0.43, 200),
    alert=None,
)


def alert(kind: str) -> Incident:
    entry = Entry(1, 0.0, 0, 240, "engine", None, Status.NOTED, "", e.AlertRaised(kind, "boom"))
    return incidents_of([entry])[0]


def style_of(text: Text, piece: str) -> str:
    at = text.plain.index(piece)
    return " ".join(str(span.style) for span in text.spans if span.start <= at < span.end)


def test_everything_a_person_watches_is_there() -> None:
    said = panel(VIEW, width=100).plain

    for piece in (
        "calm", "phase 2 + active contour", "epoch 3", "on cpu", "running", "250/1000 25.0 %", "2 min 05 s gone",
        "ETA 6 min 15 s", "loss 1.234", "chance level 1.64", "gradient norm 0.5", "lr 5.00e-06", "mIoU 0.4100",
        "best 0.4300 at step 200", "2 steps/s", "8 regions/s",
    ):  # fmt: skip
        assert piece in said


def test_each_loss_term_stands_beside_its_chance_level() -> None:
    lines = panel(VIEW, width=60).plain.splitlines()

    assert [line.split() for line in lines[-3:]] == [
        ["cross_entropy", "0.9", "chance", "1.099"],
        ["dice", "0.7", "chance", "0.6667"],
        ["auxiliary", "NaN", "chance", "0.6931"],
    ]


def test_losses_above_chance_or_not_finite_stand_out() -> None:
    text = panel(VIEW, width=60)

    assert "red" in style_of(text, "NaN")
    assert "yellow" in style_of(text, "0.7 ")
    assert "yellow" not in style_of(text, "0.9 ") and "red" not in style_of(text, "0.9 ")


def test_counts_appear_once_there_is_something_to_count() -> None:
    troubled = replace(STATE, skipped_steps=3, clamp_hits=7, rejected_samples=2)

    assert "skipped" not in panel(VIEW, width=100).plain
    for piece in ("skipped 3", "loss clamps 7", "unusable files 2", "alerts 1"):
        assert piece in panel(replace(VIEW, state=troubled, alerts=1), width=100).plain


@pytest.mark.parametrize("width", [10, 40, 59, 60, 80, 120, 200])
@pytest.mark.parametrize("message", ["short", "long " * 100, "日本語" * 40, "\x1b[2J[red]\n"])
def test_no_line_is_wider_than_the_terminal(width: int, message: str) -> None:
    state = replace(STATE, run="a-rather-long-name-for-a-run-" * 3, device="cuda:0 NVIDIA H100 80GB HBM3")
    text = panel(replace(VIEW, state=state, alert=alert(message)), width=width)

    assert all(line.cell_len <= width for line in text.split("\n"))
    assert "\x1b" not in text.plain


def test_at_eighty_columns_the_panel_leaves_room_for_the_log() -> None:
    every = dict.fromkeys(("cross_entropy", "dice", "auxiliary", "boundary_aware", "active_contour", "contour"), 1.0)

    text = panel(replace(VIEW, terms=every, alert=alert("x")), width=79)
    assert len(text.plain.splitlines()) <= 12


def test_a_run_without_a_step_has_dashes_and_no_division_by_zero() -> None:
    empty = RunView(person_state("new"), 0.0, None, None, "starting", {}, {}, None, None)

    said = panel(empty, width=80).plain
    assert "loss -" in said
    assert "ETA unknown" in said


def test_ascii_terminals_get_an_ascii_bar() -> None:
    said = panel(VIEW, width=80, ascii_only=True).plain

    assert said.isascii()
    assert "##" in said


def test_the_alert_is_marked_by_more_than_colour() -> None:
    assert panel(replace(VIEW, alert=alert("spike")), width=80).plain.splitlines()[-1] == "! step 240: spike"


def test_the_plain_line_says_the_same() -> None:
    said = progress_line(replace(VIEW, pulse="validating, 3 s"))

    assert said.startswith("step 250/1000 (25.0 %)  epoch 3  loss 1.234")
    for piece in ("gradient norm 0.5", "lr 5.00e-06", "mIoU 0.4100", "ETA 6 min 15 s", "validating, 3 s"):
        assert piece in said
    assert "\n" not in said


def test_the_plain_line_of_a_run_that_has_ended_foretells_nothing() -> None:
    done = replace(STATE, activity=Activity.FINISHED)

    assert progress_line(replace(VIEW, state=done, remaining=None, pulse="finished")).endswith(
        "2 steps/s  8 regions/s  finished"
    )

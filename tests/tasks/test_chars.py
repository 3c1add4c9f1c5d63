"""The language model of the documentation: a score that is better when lower, no components and no previews."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from cockpit.session.session import Session
from engine.config.load import load_config
from engine.config.tree import RunConfig
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol import events as e
from engine.protocol.wire import state_from_text
from engine.protocol.words.command_syntax import parse_command
from engine.protocol.words.script import ScriptedCommand
from engine.task import load_task
from engine.training.checkpoint.file import load_checkpoint
from tests.conftest import ROOT
from tests.faulty import entries, run, same_weights, series, state_of

TASK = f"{ROOT / 'cockpit/docs/examples/chars.py'}:Chars"


def config_of(folder: Path, *settings: str) -> RunConfig:
    """A tiny transformer on a text of two letters in turn, which it learns within some steps."""
    folder.mkdir(exist_ok=True)
    (folder / "text.txt").write_text("abcd " * 400)
    tiny = ("model.width=16", "model.depth=1", "model.context=16", "training.epochs=8", "training.batch_size=28")
    few = ("checkpoint.every_steps=3", "gate.min_steps=4", "gate.window_steps=4", "tensorboard.enabled=false")
    return load_config("", (f"task={TASK}", f"data.path={folder}", *tiny, *few, *settings))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to its end, whose rate becomes too high in its last third: its score is best before."""
    home = tmp_path_factory.mktemp("chars")
    script = (ScriptedCommand(26, parse_command(["set-lr", "0.01"]), 1),)
    script += (ScriptedCommand(26, parse_command(["set-clip", "1000"]), 2),)
    assert (
        run(home / "whole", config_of(home / "data", "limits.lr_max=1", "limits.max_lr_factor=1000"), script=script)
        == 0
    )
    return home / "whole"


def test_the_best_checkpoint_has_the_lowest_perplexity(whole: Path) -> None:
    scores = series(whole, "val/perplexity")
    lowest = min(scores.values())
    assert lowest < 128 and state_of(whole).best_score == pytest.approx(lowest)
    best = state_from_text(load_checkpoint(whole / CHECKPOINTS / "best.pt")["state"], load_task(TASK).spec)
    assert scores[best.step] == lowest and best.best_score == pytest.approx(lowest)


def test_the_screen_shows_the_lowest_as_the_best(whole: Path) -> None:
    scores = series(whole, "val/perplexity")
    with closing(Session(whole)) as session:
        session.poll()
        assert session.best is not None and session.best.score == pytest.approx(min(scores.values()))
        assert not session.origin.has_previews


def test_the_gate_holds_a_higher_perplexity_against_the_run(whole: Path) -> None:
    scores = list(series(whole, "val/perplexity").values())
    (check,) = [check for check in state_of(whole).gate if check.name.startswith("validation")]
    assert check.name == "validation perplexity" and check.bound == "within 2 % of the phase's best"
    assert check.passed is (scores[-1] <= 1.02 * min(scores)) and check.needs_validation


def test_it_is_resumed_to_the_bit(tmp_path: Path, whole: Path) -> None:
    directory, config = tmp_path / "run", config_of(tmp_path / "data")
    stop = (ScriptedCommand(14, parse_command(["stop"]), 1),)
    assert run(tmp_path / "whole", config) == 0
    assert run(directory, config, script=stop) == 0 and state_of(directory).step == 14
    assert run(directory, config, resume=True) == 0
    assert same_weights(directory, tmp_path / "whole")
    assert series(directory, "val/perplexity") == series(tmp_path / "whole", "val/perplexity")


def test_without_components_nothing_can_be_promoted(tmp_path: Path) -> None:
    script = tuple(ScriptedCommand(2, parse_command(words.split()), 1) for words in ("promote", "demote", "enable x"))
    config = config_of(tmp_path / "data", "training.max_steps=4", "autopilot.enabled=true")
    assert run(tmp_path / "run", config, script=script) == 0
    assert len(entries(tmp_path / "run", e.CommandRefused)) == 3

"""`plot RUN`: the curves asked for, on a live or a finished run, wherever the output goes."""

from __future__ import annotations

import argparse
import io
import math
import re
import subprocess
import sys

import pytest

from cockpit.cli.commands.reading.plot import run_plot, terminal_width
from engine.errors import UserError
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.conftest import ROOT
from tests.console.scripted import ScriptedRun


def arguments(
    run: ScriptedRun, keys: tuple[str, ...] | None = None, *, plotext: bool = False, x: str = "step"
) -> argparse.Namespace:
    return argparse.Namespace(runs_dir=run.directory.parent, run=run.directory.name, keys=keys, plotext=plotext, x=x)


@pytest.fixture
def trained(run: ScriptedRun) -> ScriptedRun:
    run.begin()
    for step in range(1, 50):
        run.train(step, loss=math.nan if step in (7, 8) else 2 - step / 50)
    run.validate(0.4)
    return run


def test_without_keys_it_draws_loss_miou_norm_and_learning_rate(
    trained: ScriptedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_plot(arguments(trained)) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "  last " in line] == [
        "loss/total", "val/miou", "grad_norm/total", "lr",
    ]  # fmt: skip
    assert any("2 NaN, first at step 7" in line for line in lines)


def test_keys_choose_the_curves(trained: ScriptedRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plot(arguments(trained, ("loss_raw/dice",))) == 0

    assert capsys.readouterr().out.startswith("loss_raw/dice  last 0.25")


def test_curves_go_by_epoch_or_time_if_asked_for(trained: ScriptedRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plot(arguments(trained, ("lr",), x="epoch")) == 0
    by_epoch = capsys.readouterr().out.splitlines()
    assert "x axis: epoch" in by_epoch
    assert run_plot(arguments(trained, ("lr",), x="time")) == 0
    assert "x axis: time" in capsys.readouterr().out.splitlines()
    with pytest.raises(UserError, match="--plotext draws over the step only"):
        run_plot(arguments(trained, plotext=True, x="time"))


def test_a_run_without_steps_has_no_time_to_draw_over(run: ScriptedRun) -> None:
    with pytest.raises(UserError, match="has no time to draw over: leave out --x"):
        run_plot(arguments(run, x="time"))


def test_a_finished_run_is_drawn_too(trained: ScriptedRun, capsys: pytest.CaptureFixture[str]) -> None:
    trained.close()
    assert run_plot(arguments(trained)) == 0

    assert "loss/total" in capsys.readouterr().out


def test_a_run_without_a_step_says_so(run: ScriptedRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plot(arguments(run)) == 0

    assert "loss/total  no values yet" in capsys.readouterr().out


def test_an_unknown_metric_is_answered_with_the_nearest(trained: ScriptedRun) -> None:
    with pytest.raises(UserError, match="no metric 'loss/totl': did you mean 'loss/total'"):
        run_plot(arguments(trained, ("loss/totl",)))


def test_no_metric_at_all_is_a_mistake(trained: ScriptedRun) -> None:
    with pytest.raises(UserError, match="names no metric"):
        run_plot(arguments(trained, ()))


def test_an_unknown_run_is_a_mistake(trained: ScriptedRun) -> None:
    wrong = argparse.Namespace(runs_dir=trained.directory.parent, run="clam", keys=None, plotext=False)
    with pytest.raises(UserError, match="did you mean 'calm'"):
        run_plot(wrong)


def test_interventions_are_marked_and_explained(trained: ScriptedRun, capsys: pytest.CaptureFixture[str]) -> None:
    trained.note(e.LrScaled(1e-3, 5e-4, 0.5), status=Status.APPLIED, actor="cli:ann")
    run_plot(arguments(trained))

    out = capsys.readouterr().out
    assert out.count("◆") == 5
    assert out.splitlines()[-1] == "marks: ◆ intervention; details: main.py events calm"


def test_plotext_draws_on_request(trained: ScriptedRun, capsys: pytest.CaptureFixture[str]) -> None:
    trained.note(e.LrScaled(1e-3, 5e-4, 0.5), status=Status.APPLIED, actor="cli:ann")
    assert run_plot(arguments(trained, plotext=True)) == 0

    out = capsys.readouterr().out
    assert out.count("▼") == 4
    assert out.splitlines()[-1] == "the marks at the top are interventions, see: main.py events calm"


def test_a_terminal_gets_colours_unless_they_are_not_wanted(
    trained: ScriptedRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    said: dict[str, str] = {}
    for no_colour in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_colour)
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        run_plot(arguments(trained))
        said[no_colour] = terminal.getvalue()

    assert "\x1b[36m" in said[""] and "\x1b[36m" not in said["1"]
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", text) for text in said.values()]
    assert plain[0] == plain[1]


@pytest.mark.parametrize(
    ("columns", "width"), [("60", 60), ("200", 200), ("5", 40), ("9999", 240), ("", 80), ("x", 80)]
)
def test_curves_fit_the_terminal(
    trained: ScriptedRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal_width() == width
    run_plot(arguments(trained))

    assert max(map(len, capsys.readouterr().out.splitlines())) <= width


def test_an_output_without_braille_gets_ascii(trained: ScriptedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1", write_through=True))
    run_plot(arguments(trained))

    assert raw.getvalue().isascii()
    assert b"|" in raw.getvalue() and b"+" in raw.getvalue()


def test_neither_plot_nor_the_reporter_needs_torch_textual_or_plotext() -> None:
    modules = "cockpit.cli.commands.reading.plot, cockpit.console.reporting.reporter"
    code = f"import sys, {modules}; print({{'torch', 'textual', 'plotext'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout == "set()\n"

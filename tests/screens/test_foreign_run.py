"""A training that is not a Task on the screen: terms that come late, knobs, and keys that it does not support."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from textual.pilot import Pilot

from cockpit.app.app import CockpitApp
from cockpit.charts.annotations.marks import marks_of
from cockpit.cli.arguments import parse_arguments
from cockpit.cli.commands.reading.events import run_events
from cockpit.console.summary import fact_lines, read_outcome
from cockpit.preferences.keymap import KEYS, lookup
from cockpit.preferences.settings import Settings
from cockpit.session.session import Session
from cockpit.text.event_info import MarkKind
from cockpit.ui.dialogs.action_table import ACTIONS, unsupported, without_effect
from cockpit.ui.panels.status.alerts.remedies import remedies_of
from cockpit.ui.screens.help import table
from engine.journal.reader import JournalReader
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.wire import OPS
from tests.foreign_run import DESCRIBED, UNKNOWN, UNSUPPORTED, ForeignRun
from tests.panels.stage import text_of

SIZES = [(80, 24), (120, 40)]
WITHOUT = {
    "promote": "promote",
    "demote": "demote",
    "optimizer": "set-optimizer",
    "validate": "validate",
    "rollback": "rollback",
    "guardian": "set-guardian",
    "autopilot": "set-autopilot",
    "histogram": "histogram",
}
"""Keys that do nothing on this run, each with the command that is missing."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[ForeignRun]:
    run = ForeignRun(tmp_path / "runs" / "own")
    yield run
    run.close()


def open_app(session: Session) -> CockpitApp:
    session.poll()
    return CockpitApp(session, settings=Settings())


async def shown(pilot: Pilot[None], *keys: str) -> str:
    await pilot.press(*keys)
    await pilot.pause()
    return text_of(pilot.app.screen)


def flat(said: str) -> str:
    """The words of a screen on one line, without the borders of boxes."""
    return " ".join(said.replace("│", " ").split())


async def look(pilot: Pilot[None], *wanted: str) -> str:
    """What the screen shows once every text in `wanted` is there, whatever its line breaks; it polls by itself."""
    deadline = time.monotonic() + 20
    while True:
        await pilot.pause(0.1)
        said = text_of(pilot.app.screen)
        if all(text in flat(said) for text in wanted):
            return said
        assert time.monotonic() < deadline, said


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_terms_that_come_with_the_first_step_are_shown(run: ForeignRun, size: tuple[int, int]) -> None:
    with closing(Session(run.directory)) as session:
        app = open_app(session)
        async with app.run_test(size=size) as pilot:
            await look(pilot)
            assert session.spec == UNKNOWN
            run.train(60)
            run.validate(0.5)
            run.train(120)
            run.validate(0.75)
            said = await look(pilot, "accuracy 0.750")
            assert session.spec == DESCRIBED and "phase" not in said.splitlines()[0]
            events = await shown(pilot, "f5")
            assert "task own loop: loss terms ce, kl; metrics accuracy" in events
            assert "knob temperature is 0.7, takes a number in 0.1..2" in events
            await pilot.press("f2", "m")
            titles = []
            for _ in range(7):
                titles.append(await shown(pilot, "tab"))
            drawn = "\n".join(titles)
            assert "Validation accuracy" in drawn and "Loss terms, raw" in drawn
            assert "ce" in drawn and "kl" in drawn


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_the_run_tab_shows_knobs_and_no_phases(run: ForeignRun, size: tuple[int, int]) -> None:
    run.train(20)
    with closing(Session(run.directory)) as session:
        app = open_app(session)
        async with app.run_test(size=size) as pilot:
            await look(pilot)
            await pilot.press("f3")
            said = await look(
                pilot,
                "temperature 0.7 (0.1..2)",
                "mixup on (on, off)",
                "schedule soft (soft, hard)",
                "no phases to promote through",
                "no components to switch",
            )
            assert "autopilot" not in said and "[G]" not in said
            assert "guardian           not in this run" in said and "last good          not in this run" in said


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_a_knob_is_set_shown_and_marked(run: ForeignRun, size: tuple[int, int]) -> None:
    run.train(40)
    with closing(Session(run.directory)) as session:
        app = open_app(session)
        async with app.run_test(size=size) as pilot:
            await look(pilot)
            await pilot.press("f3", "K", "1", ".", "5", "enter")
            await look(pilot, "temperature 0.7 -> 1.5")
            assert [request.command for request in run.answer_commands()] == [c.SetKnob("temperature", 1.5)]
            await look(pilot, "temperature 1.5 (0.1..2)")
            marks = [(mark.step, mark.kind, mark.text) for mark in marks_of(session.entries, session.spec)]
            assert marks == [(40, MarkKind.INTERVENTION, "temperature 0.7 -> 1.5")]
            await pilot.press("u", "enter")
            await pilot.pause()
            assert [request.command for request in run.answer_commands()] == [c.SetKnob("temperature", 0.7)]


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_every_key_without_a_command_is_grey_and_says_why(run: ForeignRun, size: tuple[int, int]) -> None:
    run.train(40)
    with closing(Session(run.directory)) as session:
        app = open_app(session)
        async with app.run_test(size=size) as pilot:
            said = await look(pilot, "pause")
            footer = said.splitlines()[-1]
            assert "promote" not in footer and "roll back" not in footer and "checkpoint" in footer
            for action, op in WITHOUT.items():
                await pilot.press(lookup(action).keys[0])
                await look(pilot, *UNSUPPORTED[op].split())
                assert len(app.screen_stack) == 1, action
                app.clear_notifications()
                await pilot.pause()
            assert run.answer_commands() == []
            said = await shown(pilot, "b")
            assert "batches per update" in said and "samples per batch" not in said
            await pilot.press("escape")
            keys = flat(await shown(pilot, "question_mark"))
            assert "not in this run: an own loop has no phases" in keys
            look_keys = table("look", KEYS, without_effect(session), 72).plain
            assert "those kept, or new ones - not in this run: your program runs the step" in flat(look_keys)
            await pilot.press("escape")
            await shown(pilot, "ctrl+p")
            assert "1 batch per update now" in flat(await shown(pilot, *"batch"))
            await pilot.press(*["backspace"] * 5)
            assert "validate (v) - not now" in flat(await shown(pilot, *"validate"))
            await pilot.press(*["backspace"] * 8)
            assert "histogram (h) - not now" in flat(await shown(pilot, *"histogram"))


@pytest.mark.parametrize("op", OPS)
def test_every_command_can_be_unsupported_and_its_action_is_then_refused(op: str, tmp_path: Path) -> None:
    """Each command belongs to an action, or is sent by a remedy, a box of its own, `send` or the end of a screen."""
    actions = {action for action, row in ACTIONS.items() if op in row.ops}
    assert actions or op in ("set-lr", "exclude", "stop")
    known = {key.action for key in KEYS} | {"toggle"}
    assert actions <= known


def test_an_action_is_supported_as_long_as_one_of_its_commands_is() -> None:
    assert set(unsupported(DESCRIBED)) == {*WITHOUT, "toggle", *(f"toggle_{number}" for number in range(1, 10))}
    assert unsupported(DESCRIBED)["validate"] == UNSUPPORTED["validate"]


def test_remedies_leave_out_what_the_run_cannot_do(run: ForeignRun) -> None:
    run.train(40)
    run.recorder.record_event(e.KnobSet("temperature", 0.7, 0.1), actor="cockpit")
    run.train(60)
    run.recorder.record_event(e.AlertRaised("non_finite", "step 60: ce is NaN", term="ce", at_step=60))
    run.recorder.record_event(e.AlertRaised("validation", "accuracy falls", at_step=60))
    run.flush()
    with closing(Session(run.directory)) as session:
        session.poll()
        (incident,) = session.incidents.open
        found = remedies_of(incident, session.now.state, session.now.outcome_of)
    commands = [remedy.command for remedy in found]
    assert commands[0] == c.SetKnob("temperature", 0.7) and c.ScaleLr(0.5) in commands
    assert not {command.op for command in commands} & set(UNSUPPORTED)


def test_the_console_knows_the_run_without_its_code(run: ForeignRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.train(40)
    run.validate(0.5)
    with closing(JournalReader(run.directory)) as reader:
        outcome = read_outcome(reader, run.directory)
        assert outcome is not None
        said = "\n".join(line.plain for line in fact_lines(outcome))
    assert "knobs: temperature 0.7, mixup on, schedule soft" in said and "phase" not in said
    assert "accuracy 0.5, best 0.5000 at step 40" in said and "ce" in said
    arguments = parse_arguments(["events", "own", "--runs-dir", str(run.directory.parent)])
    assert run_events(arguments) == 0
    assert "task own loop: loss terms ce, kl; metrics accuracy; 11 commands not supported" in capsys.readouterr().out

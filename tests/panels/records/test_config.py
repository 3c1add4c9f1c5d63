"""The config panel shows every key, what was changed on top, and finds keys by a few of their letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cockpit.session.session import Session
from cockpit.ui.panels.records.config import ConfigPanel
from cockpit.ui.panels.records.config_changes import Changes, switches_section
from cockpit.ui.panels.toolkit.line_list import LineList
from engine.config.files.yaml_text import dump_config
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.events import LASTING_EVENTS, Event, Status
from engine.tasks.person.config import PersonConfig as Tree
from tests.panels.stage import Stage
from tests.recorded_run import RecordedRun

Open = Callable[..., Session]


@pytest.fixture
def configured(told: RecordedRun) -> Iterator[RecordedRun]:
    """A run with its resolved config."""
    (told.directory / "config.yaml").write_text(dump_config(Tree()))
    yield told


def entries(*events: Event) -> list[Entry]:
    return [
        Entry(number, 0.0, 1, 10 * number, "cockpit", number, Status.APPLIED, "", event)
        for number, event in enumerate(events, start=1)
    ]


def changes_of(*events: Event) -> list[tuple[str, str, str]]:
    changes = Changes()
    for entry in entries(*events):
        changes.add(entry)
    return [(change.key, change.was, change.now) for change in changes.all("model.refinements")]


@pytest.mark.parametrize("width", [40, 80, 120])
async def test_what_was_changed_stands_on_top_and_the_rest_below(
    configured: RecordedRun, open_session: Open, width: int
) -> None:
    stage = Stage(ConfigPanel(), open_session())
    async with stage.run_test(size=(width, 20)) as pilot:
        await pilot.pause()
        lines = stage.shown.splitlines()
        assert "keys, 2 changed" in lines[0]
        assert lines[1] == "changed since the start"
        assert lines[2].startswith("training.learning_rate")
        assert "2.00e-04 -> 2" in lines[2]
        assert any(line.startswith("model.roi_size") and line.rstrip(" ▁█").endswith("64") for line in lines)
        if width > 40:
            assert "2.50e-06  step 180, cockpit" in lines[2]


async def test_a_few_letters_find_a_key(configured: RecordedRun, open_session: Open) -> None:
    stage = Stage(ConfigPanel(), open_session())
    async with stage.run_test(size=(80, 20)) as pilot:
        stage.panel.query_one(LineList).focus()
        await pilot.press("slash", *"blendin", "enter")
        await pilot.pause()
        assert "loss.blend_in_steps" in stage.shown
        assert stage.panel.query_one(LineList).count < 5
        await pilot.press("escape")
        await pilot.pause()
        assert stage.panel.query_one(LineList).count > 90


async def test_a_search_for_nothing_says_so_and_one_escape_removes_it(
    configured: RecordedRun, open_session: Open
) -> None:
    stage = Stage(ConfigPanel(), open_session())
    async with stage.run_test(size=(80, 20)) as pilot:
        stage.panel.query_one(LineList).focus()
        await pilot.press("slash", *"zzzz")
        await pilot.pause()
        assert "changed, nothing is found" in stage.shown
        await pilot.press("escape")
        await pilot.pause()
        assert stage.panel.query_one(LineList).count > 90
        assert "zzzz" not in stage.shown and "nothing" not in stage.shown


async def test_an_empty_config_has_no_keys(run: RecordedRun, open_session: Open) -> None:
    (run.directory / "config.yaml").write_text("{}\n")
    stage = Stage(ConfigPanel(), open_session())
    async with stage.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        assert "0 keys, 0 changed" in stage.shown and "{}" not in stage.shown


async def test_enter_on_a_change_takes_the_charts_there(configured: RecordedRun, open_session: Open) -> None:
    stage = Stage(ConfigPanel(), open_session())
    async with stage.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        stage.panel.query_one(LineList).focus()
        await pilot.press("enter", "down", "enter")
        await pilot.pause()
        assert stage.jumped == [180]


async def test_enter_on_a_key_that_never_changed_says_so(configured: RecordedRun, open_session: Open) -> None:
    stage = Stage(ConfigPanel(), open_session())
    async with stage.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        stage.panel.query_one(LineList).focus()
        await pilot.press("end", "enter")
        await pilot.pause()
        (said,) = (note.message for note in stage._notifications)
        assert said.endswith("has its value from the start") and stage.jumped == []


async def test_without_a_config_it_says_so(run: RecordedRun, open_session: Open) -> None:
    stage = Stage(ConfigPanel(), open_session())
    async with stage.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        assert "there is no config.yaml yet" in stage.shown


@pytest.mark.parametrize("content", ["a: [1", "\x1b[2J: [", "a: 1\na: 2\n"])
async def test_a_config_that_cannot_be_read_says_why(run: RecordedRun, open_session: Open, content: str) -> None:
    (run.directory / "config.yaml").write_text(content)
    stage = Stage(ConfigPanel(), open_session())
    async with stage.run_test(size=(120, 10)) as pilot:
        await pilot.pause()
        assert "config.yaml cannot be read" in stage.shown
        assert "\x1b" not in stage.shown


async def test_hostile_values_are_shown_literally(run: RecordedRun, open_session: Open) -> None:
    (run.directory / "config.yaml").write_text('data:\n  path: "[red]/x\\e[31m\\u202e[/]"\n')
    stage = Stage(ConfigPanel(), open_session())
    async with stage.run_test(size=(120, 10)) as pilot:
        await pilot.pause()
        assert r"[red]/x\x1b[31m\u202e[/]" in stage.shown


def test_a_value_is_compared_with_the_first_one() -> None:
    told = changes_of(e.LrSet(1e-3, 5e-4, 0.1), e.LrScaled(5e-4, 1e-4, 0.2))
    assert told == [("training.learning_rate", "1.00e-03", "1.00e-04")]


def test_what_is_back_at_its_first_value_is_no_change() -> None:
    assert changes_of(e.LossWeightSet("dice", 0.5, 1.0), e.LossWeightSet("dice", 1.0, 0.5)) == []


def test_a_promotion_changes_what_it_switches_on() -> None:
    assert changes_of(e.PhasePromoted(2, 3, ("contour_detection",))) == [
        ("model.refinements.contour_detection", "off", "on")
    ]


def test_the_section_of_the_switches_is_the_one_that_the_config_of_the_task_has() -> None:
    assert switches_section(["model.width", "model.refinements.edges", "edges"], ["edges"]) == "model.refinements"
    assert switches_section(["model.width"], ["edges"]) == "components"
    changes = Changes()
    for entry in entries(e.RefinementEnabled("edges")):
        changes.add(entry)
    assert [change.key for change in changes.all()] == ["components.edges"]


LASTING: dict[type, Event] = {
    e.LrScaled: e.LrScaled(1e-3, 5e-4, 0.5),
    e.LrSet: e.LrSet(1e-3, 5e-4, 0.1),
    e.PhasePromoted: e.PhasePromoted(1, 2, ("active_contour_loss",)),
    e.PhaseDemoted: e.PhaseDemoted(2, 1, ("active_contour_loss",)),
    e.RefinementEnabled: e.RefinementEnabled("subpixel_conv"),
    e.RefinementDisabled: e.RefinementDisabled("subpixel_conv"),
    e.LossWeightSet: e.LossWeightSet("dice", 0.5, 1.0),
    e.GradientClipSet: e.GradientClipSet(1.0, 0.5),
    e.AccumulationSet: e.AccumulationSet(1, 2),
    e.BatchSizeSet: e.BatchSizeSet(2, 4),
    e.KnobSet: e.KnobSet("tau", 0.7, 0.9),
    e.OptimizerSet: e.OptimizerSet("adamw", "adam"),
    e.GuardianSet: e.GuardianSet(True, False),
    e.AutopilotSet: e.AutopilotSet(False, True),
    e.SamplesExcluded: e.SamplesExcluded(("a",), 0, 1),
}


@pytest.mark.parametrize("kind", LASTING_EVENTS)
def test_every_lasting_event_is_a_change(kind: type) -> None:
    assert len(changes_of(LASTING[kind])) == 1

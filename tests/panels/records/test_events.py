"""The events panel lists everything, follows the newest, filters while one types, and takes the charts to a step."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE
from cockpit.ui.panels.records.events import EventsPanel
from cockpit.ui.panels.records.events_filter import EventsFilter
from cockpit.ui.panels.toolkit.line_list import LineList
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.events import Event, Status
from engine.protocol.task_spec import NO_SPEC
from tests.panels.stage import Stage
from tests.recorded_run import NOTE, RecordedRun

Open = Callable[..., Session]


def entry(number: int, event: Event | None = None) -> Entry:
    said = event or e.NoteAdded(f"note number {number}")
    return Entry(number, 0.0, 1, number, "cockpit", number, Status.APPLIED, "", said)


def listing(stage: Stage) -> LineList:
    return stage.panel.query_one(LineList)


@pytest.mark.parametrize("width", [40, 80, 120])
async def test_the_newest_is_in_sight_with_step_actor_and_outcome(
    told: RecordedRun, open_session: Open, width: int
) -> None:
    stage = Stage(EventsPanel(), open_session())
    async with stage.run_test(size=(width, 30)) as pilot:
        await pilot.pause()
        assert "400" in stage.shown and "validation: mIoU 0.5893" in stage.shown
        assert "[send] refused: rollback" in stage.shown
        assert all(len(line) <= width for line in stage.shown.splitlines())
        if width == 120:
            assert "rollback step-7 (no checkpoint is called 'step-7'" in stage.shown
            assert "(a loss weight's upper bound is 100)" in stage.shown
            assert "[cockpit] applied: learning rate 5.00e-06 -> 2.50e-06" in stage.shown
            assert "▲ step skipped: loss_raw/active_contour is NaN" in stage.shown


async def test_a_note_of_markup_and_escapes_is_shown_literally(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(EventsPanel(), open_session())
    async with stage.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        assert NOTE.replace("\x1b", r"\x1b") in stage.shown


async def test_enter_and_a_click_take_the_charts_to_the_step(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(EventsPanel(), open_session())
    async with stage.run_test(size=(120, 34)) as pilot:
        listing(stage).focus()
        await pilot.press("enter")
        await pilot.press("up", "up", "enter")
        await pilot.click(offset=stage.find("spiked at step 281"))
        await pilot.pause()
        assert stage.jumped == [400, 320, 281]


async def test_what_is_typed_is_searched_and_escape_gives_everything_back(
    told: RecordedRun, open_session: Open
) -> None:
    stage = Stage(EventsPanel(), open_session())
    async with stage.run_test(size=(100, 30)) as pilot:
        listing(stage).focus()
        await pilot.press("slash", *"nan skip", "enter")
        await pilot.pause()
        assert listing(stage).count == 2
        assert "2 of 26" in stage.shown
        await pilot.press("escape")
        await pilot.pause()
        assert listing(stage).count == 25


async def test_kinds_are_chosen_by_keys_and_clicks(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(EventsPanel(), open_session())
    async with stage.run_test(size=(100, 30)) as pilot:
        listing(stage).focus()
        await pilot.press("right")
        await pilot.pause()
        assert "[interventions]" in stage.shown
        assert "learning rate" in stage.shown and "validation" not in stage.shown
        await pilot.click(offset=stage.find("results"))
        await pilot.pause()
        assert "[results]" in stage.shown
        assert "validation: mIoU" in stage.shown and "skipped" not in stage.shown
        await pilot.press("left")
        await pilot.pause()
        assert "[alerts]" in stage.shown and "skipped" in stage.shown


async def test_it_follows_until_somebody_scrolls_and_again_at_the_end(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(EventsPanel(), open_session())
    async with stage.run_test(size=(80, 12)) as pilot:
        lines = listing(stage)
        lines.focus()
        await pilot.press("up", "up", "up")
        told.note(e.NoteAdded("while reading"), actor="cockpit")
        stage.look()
        await pilot.pause()
        assert lines.cursor == lines.count - 5
        await pilot.press("end")
        told.note(e.NoteAdded("at the end"), actor="cockpit")
        stage.look()
        await pilot.pause()
        assert lines.cursor == lines.count - 1
        assert "note: at the end" in stage.shown


async def test_the_event_under_the_cursor_is_written_out_where_its_line_is_too_long(
    told: RecordedRun, open_session: Open
) -> None:
    stage = Stage(EventsPanel(), open_session())
    async with stage.run_test(size=(50, 16)) as pilot:
        await pilot.pause()
        assert "boundary F 0.3991" in " ".join(stage.shown.split())


async def test_before_anything_happened_the_list_is_empty(open_session: Open) -> None:
    stage = Stage(EventsPanel(), open_session())
    async with stage.run_test(size=(80, 10)) as pilot:
        listing(stage).focus()
        await pilot.press("enter", "up", "down", "end", "home")
        assert "0 of 0" in stage.shown
        assert stage.jumped == []


async def test_a_hundred_thousand_events_hold_nothing_up(run: RecordedRun, open_session: Open) -> None:
    run.begin()
    session = open_session()
    stage = Stage(EventsPanel(), session)
    many = [entry(number) for number in range(1, 100_001)]
    async with stage.run_test(size=(100, 30)) as pilot:
        session._entries = many
        began = time.thread_time()
        stage.panel.apply_update(session, FULL_UPDATE)
        assert time.thread_time() - began < 0.2
        await pilot.pause()
        assert "note number 100000" in stage.shown  # the newest are there at once
        assert isinstance(stage.panel, EventsPanel)
        while not stage.panel._filter.is_done:
            await pilot.pause(0.02)
        lines = listing(stage)
        assert lines.count == 100_000
        lines.focus()
        began = time.thread_time()
        await pilot.press("home")
        await pilot.pause()
        assert "note number 1\n" in stage.shown
        assert time.thread_time() - began < 1.0


def test_the_search_gives_way_after_a_few_milliseconds() -> None:
    ticks = iter(range(10**9))
    chosen = EventsFilter(clock=lambda: next(ticks) * 0.001)
    chosen.watch([entry(number) for number in range(1, 101)], NO_SPEC)
    chosen.search()
    assert not chosen.is_done
    assert [found.id for found in chosen.found] == list(range(101 - len(chosen.found), 101))
    rounds = 1
    while not chosen.is_done:
        chosen.search()
        rounds += 1
    assert [found.id for found in chosen.found] == list(range(1, 101))
    assert rounds > 10


def test_what_comes_during_a_search_stands_behind_what_was_there() -> None:
    entries = [entry(number) for number in range(1, 51)]
    ticks = iter(range(10**9))
    chosen = EventsFilter(clock=lambda: next(ticks) * 0.001)
    chosen.watch(entries, NO_SPEC)
    chosen.search()
    entries.extend(entry(number) for number in range(51, 56))
    chosen.watch(entries, NO_SPEC)
    while not chosen.is_done:
        chosen.search()
    assert [found.id for found in chosen.found] == list(range(1, 56))


def test_another_journal_is_listed_from_its_beginning() -> None:
    chosen = EventsFilter()
    chosen.watch([entry(1), entry(2)], NO_SPEC)
    chosen.search()
    chosen.watch([entry(3), entry(4), entry(5)], NO_SPEC)
    chosen.search()
    assert [found.id for found in chosen.found] == [3, 4, 5]


async def test_a_panel_that_becomes_wider_names_all_kinds_at_once(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(EventsPanel(), open_session())
    async with stage.run_test(size=(50, 30)) as pilot:
        await pilot.pause()
        assert "alerts" not in stage.shown.splitlines()[0]
        await pilot.resize_terminal(120, 30)
        await pilot.pause()
        assert "[all] interventions  alerts  results" in stage.shown.splitlines()[0]


async def test_a_line_that_fits_a_wider_panel_is_not_written_out_below(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(EventsPanel(), open_session())
    async with stage.run_test(size=(50, 30)) as pilot:
        await pilot.pause()
        assert stage.panel.query_one("#detail").display
        await pilot.resize_terminal(200, 30)
        await pilot.pause()
        assert not stage.panel.query_one("#detail").display

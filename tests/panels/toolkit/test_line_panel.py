"""Lines are laid out for a width, what matters least goes first, and only what has changed is painted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.content import Content

from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE, SessionUpdate
from cockpit.ui.panels.toolkit.line_panel import LinePanel, since
from cockpit.ui.panels.toolkit.line_parts import cut, flow, padded, part, wrapped
from cockpit.ui.panels.toolkit.symbols import ASCII, UNICODE, bar, sparkline
from engine.journal.reader import Entry
from engine.protocol.events import NoteAdded, Status
from tests.panels.stage import Stage
from tests.recorded_run import RecordedRun

Open = Callable[..., Session]


class Counting(LinePanel):
    """Says one number."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.num_layouts = 0

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        self.repaint_for(session, update)

    def lines(self, width: int) -> list[Content]:
        self.num_layouts += 1
        return [Content(f"number {self.number}")] * (2 if self.number > 8 else 1)


def test_parts_flow_and_the_least_important_go_first() -> None:
    parts = [part("loss", "1.5"), part("chance", "1.8", rank=2), part("lr", "1e-3"), part("", "x" * 10, rank=1)]
    assert [line.plain for line in flow(parts, 60, 1)] == ["loss 1.5  chance 1.8  lr 1e-3  xxxxxxxxxx"]
    assert [line.plain for line in flow(parts, 32, 1)] == ["loss 1.5  lr 1e-3  xxxxxxxxxx"]
    assert [line.plain for line in flow(parts, 20, 1)] == ["loss 1.5  lr 1e-3"]
    assert [line.plain for line in flow(parts, 20)] == ["loss 1.5  chance 1.8", "lr 1e-3  xxxxxxxxxx"]
    assert [line.plain for line in flow(parts, 5, 1)] == ["loss…"]
    assert flow([], 10) == []


@pytest.mark.parametrize("text", ["short", "a much longer text", "漢字漢字漢字", ""])
def test_padding_and_cutting_count_cells(text: str) -> None:
    assert Content(padded(text, 8)).cell_length == 8
    assert cut(Content(text), 8).cell_length <= 8


def test_prose_is_broken_between_words_and_the_last_line_cut() -> None:
    assert [line.plain.rstrip() for line in wrapped("one two three four", 9)] == ["one two", "three", "four"]
    assert len(wrapped("one two three four five", 9, most=2)) == 2
    assert wrapped("one two three four five", 9, most=2)[1].plain.endswith("…")


def test_entries_after_a_number_come_oldest_first() -> None:
    entries = [Entry(n, 0.0, 1, n, "x", None, Status.NOTED, "", NoteAdded("")) for n in range(1, 6)]
    assert [entry.id for entry in since(entries, 3)] == [4, 5]
    assert since(entries, 5) == []
    assert since(entries, 9) == entries
    assert since([], 0) == []


@pytest.mark.parametrize(("share", "full"), [(0.0, 0), (0.5, 5), (1.0, 10), (7.0, 10), (-1.0, 0), (float("nan"), 0)])
def test_a_bar_is_as_long_as_it_should_be(share: float, full: int) -> None:
    done, left = bar(share, 10, UNICODE)
    assert (len(done), len(left)) == (full, 10 - full)
    assert bar(share, -3, UNICODE) == ("", "")


def test_a_sparkline_spans_its_values_and_marks_what_is_not_finite() -> None:
    nan, inf = float("nan"), float("inf")
    assert sparkline([0.0, 7.0, nan, inf], UNICODE) == "▁█ !"
    assert sparkline([2.0, 2.0], UNICODE) == "▄▄"
    assert sparkline([], UNICODE) == ""
    assert sparkline([0.0, 1.0], ASCII).isascii()


async def test_what_happened_is_painted_at_once_and_what_drifts_a_moment_later(
    told: RecordedRun, open_session: Open
) -> None:
    panel = Counting()
    stage = Stage(panel, open_session())
    async with stage.run_test(size=(40, 6)) as pilot:
        await pilot.pause()
        panel.apply_update(stage.session, FULL_UPDATE)
        panel.number = 1
        panel.apply_update(stage.session, SessionUpdate(state=True, steps=True))
        await pilot.pause()
        assert "number 0" in stage.shown
        for _ in range(200):  # until its timer is over
            if "number 1" in stage.shown:
                break
            await pilot.pause(0.05)
        assert "number 1" in stage.shown
        panel.number = 2
        panel.apply_update(stage.session, FULL_UPDATE)
        await pilot.pause()
        assert "number 2" in stage.shown


async def test_lines_are_laid_out_once_for_each_news(told: RecordedRun, open_session: Open) -> None:
    panel = Counting()
    stage = Stage(panel, open_session())
    async with stage.run_test(size=(40, 6)) as pilot:
        await pilot.pause()
        before = panel.num_layouts
        panel.number = 5
        panel.apply_update(stage.session, FULL_UPDATE)
        await pilot.pause()
        assert panel.num_layouts == before + 1
        assert panel.size.height == 1
        panel.number = 9
        panel.apply_update(stage.session, FULL_UPDATE)
        await pilot.pause()
        assert panel.size.height == 2

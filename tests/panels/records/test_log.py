"""The log panel shows what was printed, whatever it was, follows the file through truncation, and finds words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cockpit.session.session import Session
from cockpit.ui.panels.records.log import LogPanel
from cockpit.ui.panels.records.log_tail import MAX_BYTES, MAX_LINES, LogTail, shown_line
from cockpit.ui.panels.toolkit.line_list import LineList
from tests.panels.stage import Stage
from tests.recorded_run import RecordedRun

Open = Callable[..., Session]


def write(run: RecordedRun, text: str, mode: str = "a") -> None:
    with (run.directory / "console.log").open(mode, encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


async def test_nothing_was_printed_yet(run: RecordedRun, open_session: Open) -> None:
    stage = Stage(LogPanel(), open_session())
    async with stage.run_test(size=(60, 8)) as pilot:
        await pilot.pause()
        assert "nothing was printed yet" in stage.shown


async def test_text_of_any_kind_is_shown_literally(run: RecordedRun, open_session: Open) -> None:
    write(run, "[red]markup[/]\n\x1b[31mred\x1b[0m\nright\u202eleft\nbell\x07\n\udcff\udcfe bytes\nno end yet")
    stage = Stage(LogPanel(), open_session())
    async with stage.run_test(size=(60, 10)) as pilot:
        await pilot.pause()
        for line in ("[red]markup[/]", r"\x1b[31mred\x1b[0m", r"right\u202eleft", r"bell\x07", "bytes", "no end yet"):
            assert line in stage.shown
        assert "6 lines" in stage.shown


async def test_it_follows_the_file_until_somebody_scrolls(run: RecordedRun, open_session: Open) -> None:
    write(run, "".join(f"line {number}\n" for number in range(100)))
    stage = Stage(LogPanel(), open_session())
    async with stage.run_test(size=(60, 10)) as pilot:
        await pilot.pause()
        assert "line 99" in stage.shown
        write(run, "line 100\n")
        stage.look()
        await pilot.pause()
        assert "line 100" in stage.shown
        stage.panel.query_one(LineList).focus()
        await pilot.press("pageup", "pageup")
        write(run, "line 101\n")
        stage.look()
        await pilot.pause()
        assert "line 101" not in stage.shown
        await pilot.press("end")
        await pilot.pause()
        assert "line 101" in stage.shown


async def test_the_file_is_looked_at_without_news(run: RecordedRun, open_session: Open) -> None:
    stage = Stage(LogPanel(), open_session())
    async with stage.run_test(size=(60, 10)) as pilot:
        await pilot.pause()
        write(run, "printed between two steps\n")
        for _ in range(200):  # it looks once a second
            if "printed between two steps" in stage.shown:
                break
            await pilot.pause(0.05)
        assert "printed between two steps" in stage.shown


async def test_a_search_goes_to_the_newest_hit_then_to_older_ones(run: RecordedRun, open_session: Open) -> None:
    write(run, "".join(f"{'Needle' if number in (20, 70) else 'hay'} {number}\n" for number in range(100)))
    stage = Stage(LogPanel(), open_session())
    async with stage.run_test(size=(60, 10)) as pilot:
        await pilot.pause()
        stage.panel.query_one(LineList).focus()
        await pilot.press("slash", *"needle")
        await pilot.pause()
        assert "Needle 70" in stage.shown
        assert "2 hits" in stage.shown
        await pilot.press("enter", "enter")
        await pilot.pause()
        assert "Needle 20" in stage.shown
        await pilot.press("enter")
        await pilot.pause()
        assert "Needle 70" in stage.shown
        await pilot.press("escape")
        await pilot.pause()
        assert "hits" not in stage.shown


async def test_letters_keep_their_meaning_while_the_list_has_the_keys(run: RecordedRun, open_session: Open) -> None:
    write(run, "hello\n")
    stage = Stage(LogPanel(), open_session())
    pressed: list[str] = []
    stage.bind("n", "press")
    stage.action_press = lambda: pressed.append("n")  # type: ignore[attr-defined]
    async with stage.run_test(size=(60, 10)) as pilot:
        stage.panel.query_one(LineList).focus()
        await pilot.press("n")
        await pilot.press("slash", "n")
        await pilot.pause()
        assert pressed == ["n"]


def test_a_truncated_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_text("old 1\nold 2\n")
    tail = LogTail(path)
    assert tail.read()
    path.write_text("new\n")
    assert tail.read()
    assert list(tail.lines) == ["new"]


def test_a_file_put_in_its_place_is_read_from_its_beginning(tmp_path: Path) -> None:
    path, other = tmp_path / "console.log", tmp_path / "other"
    path.write_text("old\n")
    tail = LogTail(path)
    tail.read()
    other.write_text("a much longer new file\n")
    other.replace(path)
    assert tail.read()
    assert list(tail.lines) == ["a much longer new file"]
    path.unlink()
    assert tail.read()
    assert not tail.lines and tail.notice


def test_a_line_grows_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"one\ntw")
    tail = LogTail(path)
    tail.read()
    assert list(tail.lines) == ["one", "tw"]
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    assert tail.read()
    assert list(tail.lines) == ["one", "two", "three"]
    assert not tail.read()


def test_a_character_cut_in_two_by_a_look_comes_out_whole(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    text = "grün\n".encode()
    path.write_bytes(text[:3])
    tail = LogTail(path)
    tail.read()
    with path.open("ab") as file:
        file.write(text[3:])
    tail.read()
    assert list(tail.lines) == ["grün"]


def test_a_long_file_is_read_from_near_its_end_and_kept_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"x" * 99 + b"\n")
    with path.open("ab") as file:
        file.write((b"y" * 9 + b"\n") * (MAX_BYTES // 5))
    tail = LogTail(path)
    assert tail.read()
    assert len(tail.lines) == MAX_LINES
    assert set(tail.lines) == {"y" * 9}
    assert tail.num_dropped > 0


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"1 %\r50 %\r100 %", "100 %"),
        (b"windows\r", "windows"),
        (b"a\tb", "a       b"),
        (b"", ""),
        (b"z" * 5000, "z" * 2000 + " ... 3000 more"),
    ],
)
def test_a_line_is_shown_as_a_terminal_would_leave_it(line: bytes, shown: str) -> None:
    assert shown_line(line) == shown

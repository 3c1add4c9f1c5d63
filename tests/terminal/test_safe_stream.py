"""Printing never ends a run: closed pipes, narrow encodings, terminals that are none."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.text import Text

from cockpit.terminal.safe_stream import SafeStream, is_live, open_console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Failing(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENOSPC])
def test_a_stream_that_fails_is_not_written_to_again(number: int) -> None:
    stream = SafeStream(Failing(number))

    assert stream.write("text") == 4
    assert stream.broken
    assert not stream.isatty()
    stream.write("more")
    stream.flush()


def test_a_closed_stream_is_no_error() -> None:
    target = io.StringIO()
    target.close()
    console = open_console(target)
    console.print("text")

    assert not is_live(console)


def test_what_the_encoding_lacks_is_replaced() -> None:
    raw = io.BytesIO()
    console = open_console(io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    console.print(Text("é ⠁ ok"))

    assert raw.getvalue() == b"? ? ok\n"


def test_markup_and_emoji_codes_are_printed_as_they_are() -> None:
    target = io.StringIO()
    open_console(target).print("[bold]:smiley: 12 'quoted'")

    assert target.getvalue() == "[bold]:smiley: 12 'quoted'\n"


@pytest.mark.parametrize(("term", "live"), [("xterm-256color", True), ("dumb", False), ("DUMB", False), ("", True)])
def test_only_a_terminal_that_moves_its_cursor_is_live(monkeypatch: pytest.MonkeyPatch, term: str, live: bool) -> None:
    monkeypatch.setenv("TERM", term)

    assert is_live(open_console(Terminal())) is live
    assert not is_live(open_console(io.StringIO()))


def test_a_log_is_not_live_even_where_colours_are_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert not is_live(open_console(io.StringIO()))


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for value, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", value)
        target = Terminal()
        open_console(target).print(Text("alarm", "red"))
        assert ("\x1b[31m" in target.getvalue()) is coloured


_TALKS_TO_NOBODY = """
import os, sys
from cockpit.terminal.safe_stream import open_console
console = open_console()
for _ in range(1000):
    console.print("x" * 1000)
print("this would raise at the flush")
sys.stdout.flush()
os.write(2, b"survived")
"""


def test_a_closed_pipe_neither_raises_nor_changes_the_exit_code() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _TALKS_TO_NOBODY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()

    assert (process.wait(60), said) == (0, b"survived")

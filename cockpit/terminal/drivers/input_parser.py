"""Parser of terminal input for Textual: no input stops it, and no reply of the terminal acts as a key."""

from __future__ import annotations

import re
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from typing import Final

from textual import events
from textual.keys import Keys
from textual.message import Message
from textual.messages import TerminalSupportsSynchronizedOutput

from cockpit.terminal.textual_private import (
    BRACKETED_PASTE_END,
    BRACKETED_PASTE_START,
    FOCUSIN,
    FOCUSOUT,
    FUNCTIONAL_KEYS,
    XTermParser,
    key_events,
)

ESCAPE_SECONDS: Final = 0.1
"""Seconds after which an escape is the key, not the start of a sequence."""

BROKEN_SECONDS: Final = 0.5
"""Seconds of silence after which an unfinished sequence or paste is dropped, and input is keys again."""

_BURST: Final = 128
"""More characters than this in one read count as a paste, not as typed keys."""

_LONGEST_SEQUENCE: Final = 64
_LONGEST_HELD: Final = 256
_LONGEST_PASTE: Final = 10_000

_ESC: Final = b"\x1b"
_PASTE_END: Final = BRACKETED_PASTE_END.encode()

_UNIT: Final = re.compile(
    rb"(?P<text>[^\x1b]+)"
    rb"|(?P<ignored>\x1b\[M[ -\xff]{3}"  # X10 mouse: its three bytes are no text
    rb"|\x1b[]P^_X][ -\xff]*(?:\x07|\x1b\\))"  # OSC, DCS, PM, APC, SOS: replies to questions
    rb"|(?P<sequence>\x1b\[\[[A-E]"  # the Linux console's function keys
    rb"|\x1b\[\d{1,2}\$"  # rxvt's shifted keys
    rb"|\x1b\[(?!M)[0-?]*[ -/]*[@-~]"  # CSI
    rb"|\x1bO[0-9;]*[@-~])"  # SS3
    rb"|(?P<alt>\x1b(?:[\x00-\x1a\x1c-NQ-WYZ\\`-\x7f]"
    rb"|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}))"
)
_OPEN: Final = re.compile(
    rb"\x1b(?:\[(?:M[ -\xff]{0,2}|\[|[0-?]*[ -/]*)"
    rb"|O[0-9;]*"
    rb"|[]P^_X][ -\xff]*(?:\x1b\Z)?"
    rb"|[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})?"
)
"""The beginning of an unfinished unit."""

_CURSOR_REPORT: Final = re.compile(r"\x1b\[\d+;\d+R")
_SYNCHRONIZED: Final = re.compile(r"\x1b\[\?2026;[1-9]\$y")
_EXTENDED_KEY: Final = re.compile(r"\x1b\[(\d*)[\d:;]*([~ABCDEFHPQRS])")


class InputParser:
    """Turns bytes into messages. `feed` takes input; `tick` must run several times a second to end sequences.

    A broken, unknown or too long sequence is dropped. Textual's own parser returns its characters as keys, so that a
    reply of the terminal would steer the run.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._xterm = XTermParser()  # for the names of keys and the codes of the mouse
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._held = bytearray()
        self._paste: bytearray | None = None
        self._deadline = 0.0
        self._burst_until = 0.0

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that `data` completes."""
        messages = self.tick()
        self._held += data
        while self._held and (found := self._read_next()) is not None:
            messages += found
        is_short = self._paste is None and len(self._held) <= 2
        self._deadline = self._clock() + (ESCAPE_SECONDS if is_short else BROKEN_SECONDS)
        return messages

    def tick(self) -> list[Message]:
        """Return the messages after a timeout: the escape key, a key with alt, or a paste without an end."""
        if self._clock() < self._deadline or (not self._held and self._paste is None):
            return []
        held, self._held = bytes(self._held), bytearray()
        if self._paste is not None:
            return self._end_paste(held)
        if held == _ESC:
            return [events.Key("escape", "\x1b")]
        return list(self._alt(held)) if len(held) == 2 else []

    def _read_next(self) -> list[Message] | None:
        """Return the messages of the next part of the buffer; `None` if its end is missing."""
        return self._read_paste() if self._paste is not None else self._read_unit()

    def _read_unit(self) -> list[Message] | None:
        """Return the messages of the next unit of the buffer; `None` if its end is missing."""
        if (unit := _UNIT.match(self._held)) is not None:
            return self._messages(str(unit.lastgroup), self._take(unit.end()))
        broken = _OPEN.match(self._held)
        assert broken is not None  # input without a leading escape is text
        if broken.end() == len(self._held):
            self._held[_LONGEST_HELD:] = _ESC if len(self._held) > _LONGEST_HELD and self._held.endswith(_ESC) else b""
            return None
        return [events.Key("escape", "\x1b")] if self._take(broken.end()) == _ESC else []

    def _take(self, count: int) -> bytes:
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def _messages(self, kind: str, unit: bytes) -> list[Message]:
        match kind:
            case "text":
                return list(self._text(unit))
            case "alt":
                return list(self._alt(unit))
            case "sequence" if len(unit) <= _LONGEST_SEQUENCE:
                return list(self._sequence(unit.decode("ascii")))
            case _:
                return []

    def _text(self, unit: bytes) -> Iterator[Message]:
        text, now = self._decode(unit, final=bool(self._held)), self._clock()
        if len(text) > _BURST or now < self._burst_until:
            self._burst_until = now + ESCAPE_SECONDS
            yield _pasted(text)
            return
        for character in text:
            yield from self._keys(character)

    def _alt(self, unit: bytes) -> Iterator[Message]:
        character = unit[1:].decode("utf-8", "replace")
        yield from list(self._keys(f"\x1b{character}")) or self._keys(character, alt=True)

    def _sequence(self, code: str) -> Iterator[Message]:
        if code == BRACKETED_PASTE_START:
            self._paste = bytearray()
        elif code in (FOCUSIN, FOCUSOUT):
            yield events.AppFocus() if code == FOCUSIN else events.AppBlur()
        elif _SYNCHRONIZED.fullmatch(code):
            yield TerminalSupportsSynchronizedOutput()
        elif code.startswith("\x1b[<"):
            mouse = self._xterm.parse_mouse_code(code)
            yield from () if mouse is None else (mouse,)
        elif not _CURSOR_REPORT.fullmatch(code):
            yield from self._keys(code)

    def _keys(self, code: str, *, alt: bool = False) -> Iterator[Message]:
        """Yield the keys of a character or a sequence; none for an unknown number."""
        extended = _EXTENDED_KEY.fullmatch(code)
        if extended and f"{extended[1] or 1}{extended[2]}" not in FUNCTIONAL_KEYS:
            return
        try:
            keys = key_events(self._xterm, code, alt=alt)
        except (ValueError, OverflowError):  # a code point beyond Unicode, the release of a key
            return
        yield from (key for key in keys if key.key != Keys.Ignore and not _is_surrogate(key.character))

    def _read_paste(self) -> list[Message] | None:
        """Move the buffer into the paste up to its end, and return the paste; `None` if its end is missing."""
        assert self._paste is not None
        end = self._held.find(_PASTE_END)
        if end >= 0:
            return self._end_paste(self._take(end + len(_PASTE_END))[:end])
        kept = next((n for n in range(len(_PASTE_END) - 1, 0, -1) if self._held.endswith(_PASTE_END[:n])), 0)
        moved = len(self._held) - kept
        self._paste += self._held[: min(moved, max(4 * _LONGEST_PASTE - len(self._paste), 0))]
        del self._held[:moved]
        return None

    def _end_paste(self, rest: bytes) -> list[Message]:
        assert self._paste is not None
        text = (bytes(self._paste) + rest).decode("utf-8", "replace")
        self._paste = None
        return [_pasted(text)]


def _pasted(text: str) -> events.Paste:
    return events.Paste(text[:_LONGEST_PASTE].replace("\x00", ""))


def _is_surrogate(character: str | None) -> bool:
    """Return whether the character is half of a UTF-16 pair, which no file or terminal accepts."""
    return character is not None and any("\ud800" <= letter <= "\udfff" for letter in character)

"""What a terminal sends, as the messages that the screen gets."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Iterable

import pytest
from textual import events
from textual.message import Message

from cockpit.terminal.drivers.input import read_input
from cockpit.terminal.drivers.input_parser import InputParser

SPECIAL = (
    b"\x1b", b"\x1b[", b"\x1b[200~", b"\x1b[201~", b"\x1bO", b"\x1b]", b"\x1bP", b"\x1b_", b"\x1b\\", b"\x07",
    b"\x1b[M", b"\x1b[<35;", b"\x1b[97;1:3u", b"\x1b[1114112u", b"\x1b[55296u", b"\x1b[48;9;9;0;0t",
    b"\x1b[?2048;1$y", b"\x00",
    b"\xe9", b"\xf0\x9f", b"\xc3\xa9", b"\xed\xa0\x80", b"1", b";", b":", b"~", b"u", b"\x9b", b"m", b"\r",
)  # fmt: skip


class Keyboard:
    """A parser whose clock the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.parser = InputParser(clock=lambda: self.now)

    def send(self, *parts: bytes) -> list[Message]:
        """What the parts bring, one right after the other."""
        return [message for part in parts for message in self.parser.feed(part)]

    def wait(self, seconds: float = 1.0) -> list[Message]:
        """What a silence brings."""
        self.now += seconds
        return self.parser.tick()


def keys(messages: Iterable[Message]) -> list[str]:
    """The names of the keys, and what else came by its class."""
    return [message.key if isinstance(message, events.Key) else type(message).__name__ for message in messages]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"q", ["q"]),
        (b" ", ["space"]),
        (b"\x03", ["ctrl+c"]),
        (b"\r", ["enter"]),
        (b"\x1b[A", ["up"]),
        (b"\x1bOA", ["up"]),
        (b"\x1b[1;5C", ["ctrl+right"]),
        (b"\x1b[15~", ["f5"]),
        (b"\x1bOP", ["f1"]),
        (b"\x1b[[A", ["f1"]),
        (b"\x1b[Z", ["shift+tab"]),
        (b"\x1bb", ["ctrl+left"]),
        (b"\x1bx", ["alt+x"]),
        (b"\x1bX", []),
        (b"\x1b\xc3\xa9", ["alt+é"]),
        (b"\x1b[97;5u", ["ctrl+a"]),
        (b"\x1b[113u", ["q"]),
        (b"\x1b[I\x1b[O", ["AppFocus", "AppBlur"]),
        (b"\x1b[<0;5;6M\x1b[<0;5;6m", ["MouseDown", "MouseUp"]),
        (b"\x1b[<64;5;6M", ["MouseScrollUp"]),
        (b"\x1b[?2026;2$y", ["TerminalSupportsSynchronizedOutput"]),
        ("äé".encode(), ["ä", "é"]),
    ],
)
def test_keys_have_their_names(sent: bytes, expected: list[str]) -> None:
    assert keys(Keyboard().send(sent)) == expected


@pytest.mark.parametrize(
    "sent",
    [
        b"\x1b]11;rgb:1111/qqqq/llll\x1b\\",  # a colour
        b"\x1b]52;c;cXFxcQ==\x07",  # the clipboard
        b"\x1bP1+r544e=787465726d\x1b\\",  # a capability
        b"\x1b_Gi=31;OK\x1b\\",  # a picture
        b"\x1b[?64;1;2;6;22c",  # what the terminal is
        b"\x1b[113;1R",  # where its cursor is
        b"\x1b[8;24;80t",  # its size
        b"\x1b[48;99999;99999;0;0t",
        b"\x1b[?1u",
        b"\x1b[M \xe9q",  # X10 mouse
        b"\x1b[M \xc3\xa9",
        b"\x1b[35;10;11M",  # urxvt mouse
        b"\x1b[97;1:3u",  # a key let go of
        b"\x1b[113~",  # no such key
        b"\x1b[1114112u",  # beyond Unicode
        b"\x1b[55296u",  # half a character
        pytest.param(b"\x1b[" + b"1" * 100_000 + b"q", id="a long sequence"),
        pytest.param(b"\x1b]" + b"1" * 100_000 + b"\x07", id="a long reply"),
    ],
)
def test_what_is_no_key_does_nothing_in_one_piece_or_in_many(sent: bytes) -> None:
    assert keys(Keyboard().send(sent, b"k")) == ["k"]
    size = max(len(sent) // 200, 1)
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    assert keys(Keyboard().send(*pieces, b"k")) == ["k"]


@pytest.mark.parametrize("sent", [b"\xe9", b"caf\xe9", b"\xff\xfe", b"\xf0\x9f", b"\xed\xa0\x80", b"\x80\x1b[\xe9"])
def test_a_key_after_bytes_that_are_no_text_is_that_key(sent: bytes) -> None:
    assert keys(Keyboard().send(sent, b" "))[-1] == "space"


def test_a_character_that_comes_in_parts_is_one_key() -> None:
    assert keys(Keyboard().send(b"\xe2", b"\x82", b"\xac")) == ["euro_sign"]


@pytest.mark.parametrize(
    "sent",
    [b"\x1b[", b"\x1b[1;", b"\x1b[<35;1", b"\x1b[M", b"\x1b[M ", b"\x1bO", b"\x1b]0;title", b"\x1bPq", b"\x1b\xe2"],
)
def test_a_sequence_without_an_end_is_forgotten_after_a_silence(sent: bytes) -> None:
    keyboard = Keyboard()
    keyboard.send(sent)
    keyboard.wait()
    assert keys(keyboard.send(b"q")) == ["q"]


def test_the_parts_of_a_mouse_report_are_no_keys() -> None:
    keyboard = Keyboard()
    keyboard.send(b"\x1b[<0;1")
    assert keyboard.wait(0.3) == []
    assert keys(keyboard.send(b"2;3M")) == ["MouseDown"]


def test_an_escape_is_a_key_once_nothing_follows_it() -> None:
    keyboard = Keyboard()
    assert keyboard.send(b"\x1b") == []
    assert keyboard.wait(0.05) == []
    assert keys(keyboard.wait(0.06)) == ["escape"]
    assert keys(keyboard.send(b"\x1b\x1b[A")) == ["escape", "up"]
    keyboard.send(b"\x1b[")
    assert keys(keyboard.wait(0.11)) == ["left_square_bracket"]


def test_a_paste_is_one_message_however_it_comes() -> None:
    sent = b"\x1b[200~two\nlines\xe9\x00\x1b[A\x1b[201~q"
    single = [sent[at : at + 1] for at in range(len(sent))]
    for parts in ([sent], [sent[:4], sent[4:15], sent[15:-4], sent[-4:]], single):
        pasted, key = Keyboard().send(*parts)
        assert isinstance(pasted, events.Paste)
        assert pasted.text == "two\nlines\ufffd\x1b[A"
        assert keys([key]) == ["q"]


def test_a_paste_without_an_end_is_over_after_a_silence() -> None:
    keyboard = Keyboard()
    assert keyboard.send(b"\x1b[200~", b"q", b"\x1b[20") == []
    assert keys(keyboard.wait()) == ["Paste"]
    assert keys(keyboard.send(b"q")) == ["q"]


def test_a_huge_paste_is_cut_and_followed_by_keys() -> None:
    keyboard = Keyboard()
    pasted, key = keyboard.send(b"\x1b[200~", *[b"q" * 4096] * 1000, b"\x1b[201~", b"l")
    assert isinstance(pasted, events.Paste)
    assert len(pasted.text) == 10_000
    assert keys([key]) == ["l"]


def test_a_flood_of_text_is_a_paste_and_no_actions() -> None:
    keyboard = Keyboard()
    assert set(keys(keyboard.send(*[b"lq1 " * 1000] * 50, b"lq"))) == {"Paste"}
    keyboard.wait()
    assert keys(keyboard.send(b"l")) == ["l"]


def test_keys_work_after_ten_thousand_random_byte_strings() -> None:
    chance, keyboard = random.Random(7), Keyboard()
    for _ in range(10_000):
        parts = (chance.randbytes(chance.randrange(6)) + chance.choice(SPECIAL) for _ in range(chance.randrange(1, 6)))
        sent = b"".join(parts)
        keyboard.send(*(sent,) if chance.random() < 0.5 else (sent[at : at + 1] for at in range(len(sent))))
        keyboard.wait()
        assert keys(keyboard.send(b"q"))[-1:] == ["q"], sent
        keyboard.wait()


def test_reading_goes_on_after_a_fault_and_ends_when_asked(caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = os.pipe()
    ended, taken, heard = threading.Event(), list[str](), threading.Event()

    def take(message: Message) -> None:
        if isinstance(message, events.Paste):
            raise RuntimeError("no pastes here")
        taken.extend(keys([message]))
        heard.set()

    thread = threading.Thread(target=read_input, args=(reader, ended, take), daemon=True)
    with caplog.at_level(logging.ERROR):
        thread.start()
        for sent in (b"\x1b[200~\xe9\x1b[201~", b"\xff\xfe", b"k"):
            os.write(writer, sent)
        while "k" not in taken:
            assert heard.wait(10)
            heard.clear()
        os.close(writer)  # a closed terminal
        ended.set()
        thread.join(10)
    os.close(reader)
    assert not thread.is_alive()
    assert "could not be handled" in caplog.text

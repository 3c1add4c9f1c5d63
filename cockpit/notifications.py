"""Telling a person who looks elsewhere: the terminal's bell, and a notification of the desktop by OSC 9 or 777."""

from __future__ import annotations

import os
from typing import Final

from cockpit.console.sentences import sentence
from cockpit.console.text import whole
from cockpit.settings import Settings
from engine.journal.reader import Entry
from engine.protocol import events as e

BELL: Final = "\a"
_TOLD: Final = (e.AlertRaised, e.RunFinished, e.RunFailed)
_LONGEST: Final = 200


def escape_of(entry: Entry, settings: Settings, run: str) -> str:
    """What to write to the terminal when `entry` arrives; '' where nobody asked to be told of its kind."""
    if not isinstance(entry.event, _TOLD):
        return ""
    text = whole(f"{run}: {sentence(entry.event)}")[:_LONGEST]
    return (BELL if settings.bell else "") + notification(text, settings.notifications)


def notification(text: str, kind: str) -> str:
    """The sequence that shows `text` (one line, no controls) on the desktop; '' for the kind 'off'.

    Semicolons separate the fields of such a sequence and become commas.
    """
    plain = whole(text).replace(";", ",")
    match kind:
        case "osc9":
            return _through_tmux(f"\x1b]9;{plain}\x1b\\")
        case "osc777":
            return _through_tmux(f"\x1b]777;notify;Training Cockpit;{plain}\x1b\\")
        case _:
            return ""


def _through_tmux(sequence: str) -> str:
    """tmux keeps such sequences for itself unless they are wrapped (and allow-passthrough is on)."""
    if not os.environ.get("TMUX"):
        return sequence
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"

"""The terminal's bell, and desktop notifications by OSC 9 or 777."""

from __future__ import annotations

import os
from typing import Final

from cockpit.console.incident_text import incident_line
from cockpit.preferences.settings import Settings
from cockpit.session.incidents.incident import Incident
from cockpit.session.update import SessionUpdate
from cockpit.text.event_text import info_of, sentence
from cockpit.text.format import escape_control
from engine.protocol import events as e
from engine.protocol.task_spec import TaskSpec

BELL: Final = "\a"
_LONGEST: Final = 200


def escape_of(update: SessionUpdate, settings: Settings, run: str, spec: TaskSpec) -> str:
    """Return the escape sequences for `update`; an empty string if no notification is switched on.

    Once for each incident that began, not for every alert that it grows by, and for the end of the run.
    """
    began = [
        f"alert {incident.number}: {incident_line(incident)}" for incident in update.began if not _is_end(incident)
    ]
    ends = [sentence(entry.event, spec) for entry in update.entries if info_of(entry.event).is_end]
    return "".join(
        (BELL if settings.bell else "")
        + notification(escape_control(f"{run}: {text}")[:_LONGEST], settings.notifications)
        for text in (*began, *ends)
    )


def _is_end(incident: Incident) -> bool:
    return isinstance(incident.entries[0].event, e.RunFailed)


def notification(text: str, kind: str) -> str:
    """Return the sequence that shows `text` (one line, no controls) on the desktop; an empty string for 'off'.

    Semicolons separate the fields of such a sequence and become commas.
    """
    plain = escape_control(text).replace(";", ",")
    match kind:
        case "osc9":
            return _through_tmux(f"\x1b]9;{plain}\x1b\\")
        case "osc777":
            return _through_tmux(f"\x1b]777;notify;Training Cockpit;{plain}\x1b\\")
        case _:
            return ""


def _through_tmux(sequence: str) -> str:
    """Wrap a sequence for tmux, which passes it on if allow-passthrough is on."""
    if not os.environ.get("TMUX"):
        return sequence
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"

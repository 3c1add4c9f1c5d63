"""The strip of commands that were sent and are not answered yet."""

from __future__ import annotations

from textual.content import Content

from cockpit.session.outbox import Pending
from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.command_text import change, title, waits_for
from cockpit.text.format import duration
from cockpit.ui.panels.toolkit.panel import Panel
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome


class PendingStrip(Panel):
    """One line per pending command; hidden if there is none. It needs every update, also while hidden."""

    TITLE = "Pending"
    MOST = 3
    """The maximum of lines; the other commands are counted."""
    DEFAULT_CSS = """
    PendingStrip {
        height: auto;
        display: none;
        padding: 0 1;
        background: $warning-muted;
        color: $text-warning;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._since: dict[tuple[float, int], float] = {}
        self._lines: tuple[str, ...] = ()

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Update the lines; seconds count by the session's clock from the first update with the command."""
        known = set(map(_identity, session.pending))
        self._since = {
            **dict.fromkeys(known, session.elapsed),
            **{known_one: at for known_one, at in self._since.items() if known_one in known},
        }
        lines = self._written(session) if session.pending else ()
        if lines != self._lines:
            self._lines = lines
            self.display = bool(lines)
            self.refresh(layout=True)

    def render(self) -> Content:
        """Return the pending commands, the oldest first."""
        return Content("\n".join(self._lines))

    def _written(self, session: Session) -> tuple[str, ...]:
        outcomes = [None] * len(session.pending) if session.state is None else session.soon.outcomes
        waits = waits_for(session.state)
        lines: list[str] = []
        for pending, outcome in zip(session.pending[: self.MOST], outcomes, strict=False):
            waited = duration(session.elapsed - self._since[_identity(pending)])
            lines.append(f"… {_effect(pending.command, outcome)} … sent, {waits}, {waited}")
        if len(session.pending) > self.MOST:
            lines.append(f"… and {len(session.pending) - self.MOST} more")
        return tuple(lines)


def _identity(pending: Pending) -> tuple[float, int]:
    """Return a key of the command that stays the same when the journal numbers it."""
    return pending.sent_at, id(pending.command)


def _effect(command: Command, outcome: Outcome | None) -> str:
    """Return a pending command in words, with the change that its outcome predicts; `None` before there is a state."""
    event = outcome.event if outcome else None
    return title(command) if event is None else f"{title(command)}: {change(event)}"

"""Turn actions into commands: predict the outcome, ask for confirmation, send, and show the engine's answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, Literal, Protocol

from cockpit.session.outbox import CommandOutcome
from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.command_text import title
from cockpit.text.event_text import sentence
from cockpit.ui.dialogs import dialog as dialogs
from cockpit.ui.dialogs.action_table import ACTIONS, Effect, effect, refusal
from cockpit.ui.dialogs.box import CARE, FAIL, PASS
from cockpit.ui.dialogs.confirmations import asked_first
from cockpit.ui.dialogs.dialog import Dialog
from cockpit.ui.dialogs.plans.plan import Open, Reason, Send, Situation
from engine.journal.reader import Entry
from engine.protocol.commands import Command, PromotePhase
from engine.protocol.events import Status
from engine.protocol.record import record

Severity = Literal["information", "warning", "error"]

_NEW_SECONDS: Final = 10.0
"""Age up to which the outcome of a command from elsewhere is shown; older ones are history."""


@record
class _Message:
    """A message to a user: its text after a heading."""

    text: str
    heading: str
    severity: Severity = "information"


class Opener(Protocol):
    """The part of a Textual app that the dispatcher uses."""

    def push_screen(self, screen: Dialog, callback: Callable[[dialogs.Answer | None], None]) -> object:
        """Open a dialog; `callback` receives its answer."""
        ...

    def notify(self, message: str, *, title: str, severity: Severity, markup: bool) -> None:
        """Show a message."""
        ...


class ActionDispatcher:
    """Executes the actions that steer. Pass it every update of the session; `wall_clock` returns seconds since 1970.

    The session keeps the outcome of a command on a state: what asks, sends and shows decides it once.
    """

    def __init__(self, session: Session, opener: Opener, *, wall_clock: Callable[[], float] = time.time) -> None:
        self.session = session
        self._opener = opener
        self._wall_clock = wall_clock
        self._memory = Situation(session)
        self._dialog: Dialog | None = None

    def handles(self, action: str) -> bool:
        """Return whether the action is one of those that steer."""
        return action in ACTIONS

    def dispatch(self, action: str, argument: str = "") -> None:
        """Execute `action`, or show why it does nothing. Raises KeyError for an unknown action."""
        chosen = ACTIONS[action]
        if reason := refusal(action, self.session):
            self._refuse(_named(action), reason)
            return
        match chosen.plan(self._situation(argument)):
            case Send(command=command):
                self.steer(command)
            case Open(make=make, asked=asked, undo=undo):
                self._open(make(), asked=asked, undo=undo)
            case Reason(text=text, entry=entry):
                said = text if entry is None else self._passed(entry, text)
                self._say(_Message(said, f"{FAIL} {_named(action)}", "warning"))

    def _passed(self, entry: Entry, text: str) -> str:
        """Let the next undo skip `entry`, and return the reason with a note of that."""
        self._memory = replace(self._memory, passed=self._memory.passed | {entry.id})
        return f"{text} (once more: the intervention before it)"

    def steer(self, command: Command) -> None:
        """Send `command`, after a confirmation if it is hard to undo; a refusal is shown and nothing is sent.

        A promotion goes through the gate.
        """
        if isinstance(command, PromotePhase):
            self.dispatch("promote")
        elif (dialog := asked_first(self.session, command)) is not None:
            self._open(dialog, asked=True)
        else:
            self._send(command)

    def effect(self, action: str, argument: str = "") -> Effect:
        """Return what `action` would do now, or why it would do nothing. Raises KeyError for an unknown action."""
        return effect(action, self.session, self._situation(argument))

    def apply_update(self, update: SessionUpdate) -> None:
        """Show how commands ended, and update the open dialog."""
        told = [self._told(answer) for answer in update.answers]
        for answer in update.answers:
            self._settle(answer)
        told.extend(self._told_of_others(entry) for entry in update.entries if self._is_of_others(entry))
        self._say(*told)
        if self._dialog is not None:
            self._dialog.apply_update(self.session, update)

    def _situation(self, argument: str) -> Situation:
        return replace(self._memory, argument=argument, now=self._wall_clock())

    def _open(self, dialog: Dialog, *, asked: bool, undo: bool = False) -> None:
        def answered(answer: dialogs.Answer | None) -> None:
            self._dialog = None
            send = partial(self._send, undo=undo) if asked else self.steer
            for command in answer or ():
                send(command)

        self._dialog = dialog
        self._opener.push_screen(dialog, answered)

    def _send(self, command: Command, *, undo: bool = False) -> None:
        outcome = self.session.send(command)
        if outcome.status is Status.REFUSED:
            self._refuse(title(command), outcome.reason)
        elif undo:
            self._memory = replace(self._memory, undos=(*self._memory.undos, command))

    def _settle(self, answer: CommandOutcome) -> None:
        """Remember an undo that was answered by its number in the journal."""
        left = tuple(command for command in self._memory.undos if command is not answer.pending.command)
        if len(left) < len(self._memory.undos):
            done = self._memory.undone_by | {answer.entry.command_id or 0}
            self._memory = replace(self._memory, undos=left, undone_by=done)

    def _told(self, answer: CommandOutcome) -> _Message:
        """Return how a command of this screen ended."""
        entry, what = answer.entry, title(answer.pending.command)
        if entry.status is Status.REFUSED:
            return _refused(what, entry.reason)
        said = sentence(entry.event, self.session.spec)
        if entry.status is Status.CLAMPED:
            return _Message(f"{said}: {entry.reason}", f"{CARE} {what}: clamped at step {entry.step}", "warning")
        return _Message(said, f"{PASS} {what}: applied at step {entry.step}")

    def _is_of_others(self, entry: Entry) -> bool:
        """Return whether `entry` was just steered from elsewhere: another screen, `send`, a script of a user."""
        was_changed = entry.command_id is not None and entry.status in (Status.APPLIED, Status.CLAMPED)
        is_new = self._wall_clock() - entry.time < _NEW_SECONDS
        return was_changed and is_new and entry.actor != self.session.actor

    def _told_of_others(self, entry: Entry) -> _Message:
        """Return what was steered from elsewhere."""
        return _Message(sentence(entry.event, self.session.spec), f"{entry.actor}: {entry.status} at step {entry.step}")

    def _refuse(self, what: str, reason: str) -> None:
        self._say(_refused(what, reason))

    def _say(self, *messages: _Message) -> None:
        """Show messages that came together as one, so that none hides another; of equal headings the newest."""
        if not messages:
            return
        first, *others = {message.heading: message for message in messages}.values()
        text = "\n".join([first.text, *(f"{message.heading}: {message.text}" for message in others)])
        is_warning = any(message.severity == "warning" for message in messages)
        severity: Severity = "warning" if is_warning else first.severity
        self._opener.notify(text, title=first.heading, severity=severity, markup=False)


def _refused(what: str, reason: str) -> _Message:
    return _Message(reason, f"{FAIL} {what}: refused", "warning")


def _named(action: str) -> str:
    """Return an action in words: 'lower LR'."""
    return action.replace("_", " ").replace("lr", "LR")

"""The smallest app that can be steered: keys from the table, the pending strip, toasts kept for reading."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from cockpit.preferences.key_binding import bindings_of
from cockpit.preferences.keymap import KEYS, keys_for
from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE
from cockpit.ui.dialogs.dispatcher import ActionDispatcher
from cockpit.ui.panels.status.pending_commands import PendingStrip
from cockpit.ui.panels.toolkit.panel import Ask, Steer
from engine.protocol.commands import Command
from engine.protocol.events import AlertRaised
from engine.tasks.person.spec import SPEC
from tests.console.scripted import FakeClock
from tests.recorded_run import EPOCH_SECONDS, RecordedRun

SIZE = (80, 24)

STEERING = [key for key in keys_for(KEYS, SPEC) if key.group == "steer" and key.action != "acknowledge"]


class SteeredScreen(App[None]):
    """Looks at the journal when a test says so, and lets the engine answer when a test says so."""

    BINDINGS: ClassVar = [Binding(bindings_of(key), f"dispatch('{key.action}')", key.label) for key in STEERING]

    def __init__(self, session: Session, run: RecordedRun, clock: FakeClock) -> None:
        super().__init__()
        self.session, self.run_, self.clock = session, run, clock
        self.steering = ActionDispatcher(session, self, wall_clock=lambda: EPOCH_SECONDS + 90)
        self.toasts: list[str] = []

    def compose(self) -> ComposeResult:
        yield PendingStrip()

    def notify(self, message: str, *, title: str = "", markup: bool = True, **more: Any) -> None:
        assert not markup
        self.toasts.append(f"{title}: {message}")
        super().notify(message, title=title, markup=markup, **more)

    def action_dispatch(self, action: str) -> None:
        self.steering.dispatch(action)

    def on_ask(self, message: Ask) -> None:
        self.steering.dispatch(message.action, message.argument)

    def on_steer(self, message: Steer) -> None:
        self.steering.steer(message.command)

    def look(self) -> None:
        """One look at the journal, as ten times a second in the cockpit."""
        update = self.session.poll()
        self.steering.apply_update(update)
        self.screen_stack[0].query_one(PendingStrip).apply_update(self.session, update or FULL_UPDATE)

    def answer(self) -> list[Command]:
        """The engine reaches its boundary and answers what was sent; the screen looks. Returns what it was sent."""
        commands = [request.command for request in self.run_.answer_commands()]
        self.look()
        return commands

    @property
    def strip(self) -> str:
        """What the pending strip shows."""
        strip = self.screen_stack[0].query_one(PendingStrip)
        return str(strip.render()) if strip.display else ""

    @property
    def box(self) -> str:
        """All the text in the dialog that is open."""
        return "\n".join(str(part.render()) for part in self.screen.query(Static))


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Press the keys one after the other and let the screen come to rest."""
    for key in keys:
        await pilot.press(key)
    await pilot.pause()


def rows(screen: SteeredScreen) -> list[str]:
    """The rows of the list in the dialog that is open."""
    listed = screen.screen.query_one(OptionList)
    return [str(listed.get_option_at_index(index).prompt) for index in range(listed.option_count)]


def raise_alert(run: RecordedRun, **fields: Any) -> None:
    """A step of the run was not finite."""
    run.note(AlertRaised("non_finite", "step 60: active_contour is NaN", **fields))

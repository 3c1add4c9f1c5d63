"""The dialog for histograms: a search for a layer, those that are kept of it, and a key that takes new ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList
from textual.widgets.option_list import Option

from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.format import escape_control
from cockpit.text.histogram_text import drawn, heading
from cockpit.ui.dialogs.box import FAIL, PASS, button, field, line
from cockpit.ui.dialogs.dialog import Dialog
from cockpit.ui.dialogs.lists.kept_histograms import KeptHistograms
from cockpit.ui.dialogs.lists.layer_names import found_names, layer_names
from engine.protocol.commands import TakeHistogram
from engine.protocol.events import Activity, HistogramTaken, Status

_WIDTH: Final = 116
_OTHER_LINES: Final = 20
"""Lines of the box without the bars."""
_MOST_LISTED: Final = 200


class HistogramDialog(Dialog):
    """Typing searches, up and down choose a layer, enter takes its histograms; `layer` is the one to begin with."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "layer above", show=False),
        Binding("down", "move(1)", "layer below", show=False),
        Binding("pageup", "turn(1)", "earlier", show=False),
        Binding("pagedown", "turn(-1)", "later", show=False),
        Binding("enter", "take", "take", show=False),
    ]
    DEFAULT_CSS = """
    HistogramDialog {
        & > #box { width: 116; }
        & OptionList { max-height: 4; }
    }
    """

    def __init__(self, session: Session, layer: str = "") -> None:
        super().__init__(session, "Histograms of a layer", keys="up/down layer   pgup/pgdn step   escape closes")
        self._kept = KeptHistograms(session.run_dir)
        self._names = layer_names(session.run_dir, self._kept.all)
        self._begin = layer or (self._kept.all[-1].layer if self._kept.all else "")
        self._shown: list[str] = []
        self._said: Content | str = ""

    def body(self) -> Iterable[Widget]:
        """Return the search, the layers that fit it, and lines for the answer and the drawing."""
        return field("layer", self._begin), OptionList(id="layers", markup=False), line("said"), line("drawn")

    def buttons(self) -> Iterable[Button]:
        """Return the buttons that take histograms and close the box."""
        return button("Take at the next step", "take", "enter"), button("Close", "cancel", "escape")

    def on_mount(self) -> None:
        """List the layers, and show the newest histograms."""
        self._search(self._begin)

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Show the engine's answer, and histograms that were taken meanwhile."""
        if not (self.is_attached and self.is_mounted):
            return
        ours = [answer.entry for answer in update.answers if isinstance(answer.pending.command, TakeHistogram)]
        for refused in (entry for entry in ours if entry.status is Status.REFUSED):
            self._tell(refused.reason, is_refusal=True)
        taken = [entry.event for entry in update.entries if isinstance(entry.event, HistogramTaken)]
        if taken:
            self._kept.read_again()
        if taken and taken[-1].layer == self._layer:
            self._tell(f"taken at step {taken[-1].at_step}")
        self._draw()

    def on_input_changed(self, event: Input.Changed) -> None:
        """List the layers that fit what is typed."""
        event.stop()
        self._search(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take histograms on enter in the input."""
        event.stop()
        self.action_take()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the histograms of the layer that the cursor is on now."""
        event.stop()
        self._kept.go_to_newest()
        self._said = ""
        self._draw()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Show the histograms of the layer that was clicked, and keep the search focused."""
        event.stop()
        self.query_one(Input).focus()

    def on_resize(self, event: events.Resize) -> None:
        """Draw for the new size."""
        self._draw()

    def action_move(self, by: int) -> None:
        """Go to the layer above or below."""
        if self._shown:
            listed = self.query_one(OptionList)
            listed.highlighted = ((listed.highlighted or 0) + by) % len(self._shown)

    def action_turn(self, by: int) -> None:
        """Show histograms of an earlier or a later step."""
        self._kept.turn(self._layer, by)
        self._draw()

    def action_take(self) -> None:
        """Ask for histograms of the layer; the box stays open and shows them."""
        if reason := self.session.refusal:
            self._tell(reason, is_refusal=True)
            return
        outcome = self.session.send(TakeHistogram(self._layer))
        if outcome.status is Status.REFUSED:
            self._tell(outcome.reason, is_refusal=True)
            return
        state = self.session.state
        is_paused = state is not None and state.activity is Activity.PAUSED
        self._tell("asked for: taken at the next step" + (", once the pause is over" if is_paused else ""))

    @property
    def _layer(self) -> str:
        """Return the layer under the cursor; what is typed if no name fits it."""
        at = self.query_one(OptionList).highlighted
        return self._shown[at] if at is not None and at < len(self._shown) else self.query_one(Input).value.strip()

    def _search(self, text: str) -> None:
        """List the names that fit `text`."""
        self._shown = found_names(self._names, text)[:_MOST_LISTED]
        steps = {taken.layer: taken.step for taken in self._kept.all}
        listed = self.query_one(OptionList)
        with self.prevent(OptionList.OptionHighlighted):
            listed.set_options(
                Option(Content(escape_control(name) + (f"  step {steps[name]}" if name in steps else "")))
                for name in self._shown
            )
            listed.highlighted = 0 if self._shown else None
        self._kept.go_to_newest()
        self._said = ""
        self._draw()

    def _tell(self, text: str, *, is_refusal: bool = False) -> None:
        mark, colour = (FAIL, "$text-error") if is_refusal else (PASS, "$text-success")
        self._said = Content.assemble((f"{mark} ", colour), escape_control(text))
        self._draw()

    def _draw(self) -> None:
        """Show the answer, and the histograms of the layer at the chosen step."""
        if not self.is_mounted:
            return
        self.query_one("#take", Button).disabled = bool(self.session.refusal)
        shown = self._kept.shown(self._layer)
        if shown is None:
            takes = "" if self.session.refusal else ": enter takes some at the next step"
            self.say("said", self._said or f"none are kept of this layer{takes}")
            self.say("drawn", "")
            return
        taken, place = shown
        self.say("said", self._said or ("" if self.session.refusal else "enter takes new ones at the next step"))
        size = self.app.size
        width = min(_WIDTH, size.width * 96 // 100) - 4
        height = min(max(size.height * 94 // 100 - _OTHER_LINES, 3), 10)
        head = f"{heading(taken)}   {place}" if place else heading(taken)
        self.say("drawn", "\n".join([head, *drawn(taken, width, height)]))

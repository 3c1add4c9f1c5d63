"""The dialog about the end of the training: stop it, detach from it, or cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

QuitAnswer = Literal["stop", "detach", "cancel"]

_SAVES: Final = "Stop with a checkpoint; the run can be resumed"
_SAVES_NOT: Final = "Stop: end the program after this step; only the program saves"
_DETACH: Final = "Detach (the training goes on); `attach` opens the screen again"
_NO_DETACH: Final = "Detach - not now: "
_CANCEL: Final = "Cancel; nothing changes"
_RENEWED_AFTER: Final = 0.2
"""Seconds after which the dialog looks again whether the training can go on without the screen."""


class QuitScreen(ModalScreen[QuitAnswer], inherit_bindings=False):
    """Closes with the answer. `saves` is whether a stop writes a checkpoint.

    `why_not_detach` returns the reason why the training cannot go on without the screen now; empty if it can.
    """

    AUTO_FOCUS = "OptionList"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,ctrl+c", "answer('stop')", show=False),
        Binding("d", "answer('detach')", show=False),
        Binding("escape,n,q", "answer('cancel')", show=False),
    ]
    DEFAULT_CSS = """
    QuitScreen {
        align: center middle;
        & > #box {
            width: 74;
            max-width: 96%;
            height: auto;
            padding: 1 2;
            border: heavy $warning;
            background: $surface;
            border-subtitle-color: $text-muted;
        }
        & OptionList { border: none; padding: 0; background: $surface; height: auto; }
        & OptionList:focus { border: none; }
    }
    """

    def __init__(self, why_not_detach: Callable[[], str], *, saves: bool = True) -> None:
        super().__init__()
        self._why_not_detach = why_not_detach
        self._saves = saves
        self._shown_reason = ""

    def compose(self) -> ComposeResult:
        """Yield the choices with their keys."""
        with Vertical(id="box") as box:
            box.border_title, box.border_subtitle = "! Stop the training?", "a key or enter chooses"
            yield OptionList(
                Option(_row("y", _SAVES if self._saves else _SAVES_NOT), id="stop"),
                Option(_row("d", _DETACH), id="detach"),
                Option(_row("n", _CANCEL), id="cancel"),
                markup=False,
            )

    def on_mount(self) -> None:
        """Show whether the training can go on without the screen, now and while the dialog is open."""
        self._renew()
        self.set_interval(_RENEWED_AFTER, self._renew)

    def _renew(self) -> None:
        reason, listed = self._why_not_detach(), self.query_one(OptionList)
        if reason == self._shown_reason:
            return
        self._shown_reason = reason
        listed.replace_option_prompt("detach", _row("d", f"{_NO_DETACH}{reason}" if reason else _DETACH))
        (listed.disable_option if reason else listed.enable_option)("detach")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Close with the row that was clicked, or entered."""
        event.stop()
        self.action_answer(event.option_id or "cancel")

    def action_answer(self, answer: str) -> None:
        """Close with the answer, unless it is to detach and the reason against it is shown."""
        match answer:
            case "stop" | "cancel":
                self.dismiss(answer)
            case _ if not self._why_not_detach():
                self.dismiss("detach")
            case _:
                self._renew()


def _row(key: str, text: str) -> Content:
    return Content.assemble((f"{key}  ", "bold"), text)

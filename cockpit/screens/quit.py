"""The dialog that confirms the end of the training."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

_TEXT: Final = """\
enter, y     write a checkpoint and end the run
escape, n    cancel: nothing changes"""


class QuitScreen(ModalScreen[bool], inherit_bindings=False):
    """Closes with `True` to stop the run with a checkpoint, with `False` to cancel."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y,ctrl+c", "answer(True)", show=False),
        Binding("escape,n,q", "answer(False)", show=False),
    ]
    DEFAULT_CSS = """
    QuitScreen {
        align: center middle;
        & > #box {
            width: 74;
            max-width: 96%;
            height: auto;
            padding: 0 2;
            border: heavy $warning;
            background: $surface;
        }
        & Static { width: 100%; height: auto; margin: 1 0; }
    }
    """

    def compose(self) -> ComposeResult:
        """Yield the two choices with their keys."""
        with Vertical(id="box") as box:
            box.border_title = "! Stop the training?"
            yield Static(_TEXT, markup=False)

    def action_answer(self, stop: bool) -> None:
        """Close with the answer."""
        self.dismiss(stop)

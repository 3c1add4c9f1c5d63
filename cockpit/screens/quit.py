"""The dialog that confirms the end of the training."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

_SAVES: Final = "write a checkpoint and end the run"
_SAVES_NOT: Final = "end the program after this step; only the program saves"
_TEXT: Final = """\
enter, y     {ending}
escape, n    cancel: nothing changes"""


class QuitScreen(ModalScreen[bool], inherit_bindings=False):
    """Closes with `True` to stop the run, with `False` to cancel. `saves` is whether a stop writes a checkpoint."""

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

    def __init__(self, *, saves: bool = True) -> None:
        super().__init__()
        self._ending = _SAVES if saves else _SAVES_NOT

    def compose(self) -> ComposeResult:
        """Yield the two choices with their keys."""
        with Vertical(id="box") as box:
            box.border_title = "! Stop the training?"
            yield Static(_TEXT.format(ending=self._ending), markup=False)

    def action_answer(self, stop: bool) -> None:
        """Close with the answer."""
        self.dismiss(stop)

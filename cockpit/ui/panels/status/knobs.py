"""The knobs panel: each setting that the training's own code declared, with its value and its range."""

from __future__ import annotations

from typing import ClassVar

from textual.content import Content
from textual.style import Style

from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.command_text import knob_range
from cockpit.text.format import escape_control
from cockpit.ui.panels.toolkit.line_panel import TitledLinePanel
from cockpit.ui.panels.toolkit.line_parts import cut
from cockpit.ui.panels.toolkit.symbols import LABEL, STRONG, WAITING
from engine.protocol.state import Knob, knob_text


class KnobsPanel(TitledLinePanel):
    """One line for each knob, which a click sets; without a height in a run that has none."""

    TITLE: ClassVar[str] = "Knobs"
    DEFAULT_CSS = """
    KnobsPanel.-empty { border-top: none; }
    """

    def __init__(self, *, marker: str = "braille", id: str | None = None) -> None:
        super().__init__(marker=marker, id=id, classes="-empty")
        self._session: Session | None = None

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Show the present values."""
        self._session = session
        self.set_class(session.state is None or not session.state.knobs, "-empty")
        self.repaint_for(session, update)

    def lines(self, width: int) -> list[Content]:
        """Return a line for each knob."""
        session = self._session
        if session is None or session.state is None:
            return []
        soon = session.soon.state.knobs
        return [cut(self._line(name, knob, soon[name]), width) for name, knob in session.state.knobs.items()]

    def _line(self, name: str, knob: Knob, soon: Knob) -> Content:
        """Return the name, the value, the pending value and the range of a knob."""
        waits = f" -> {escape_control(knob_text(soon.value))} {self.signs.dots}" if soon.value != knob.value else ""
        said = knob_range(knob)
        text = Content.assemble(
            (f"{escape_control(name)} ", LABEL),
            (escape_control(knob_text(knob.value)), STRONG),
            (waits, WAITING),
            (f" ({said})" if said else "", LABEL),
        )
        return text.stylize(Style.from_meta({"ask": "knob", "argument": name}))

"""The alert banner: stays until somebody acknowledges it, says what, where and why, and what can be done."""

from __future__ import annotations

from typing import ClassVar

from textual.content import Content

from cockpit.session.session import News, Session
from cockpit.widgets.banner_incidents import Incident, Incidents, account
from cockpit.widgets.panel_lines import Lines, Part, flow, jump, link, since, wrapped
from cockpit.widgets.panel_signs import LABEL, STRONG
from engine.journal.reader import Entry


class Banner(Lines):
    """The newest alert that nobody acknowledged. Give it every news, hidden or not: it shows and hides itself."""

    TITLE: ClassVar[str] = "Alert"
    HELP = "An alert stays here until it is acknowledged; the one before it shows then."
    DEFAULT_CSS = """
    Banner {
        display: none;
        padding: 0 1;
        background: $error-muted;
        color: $foreground;
        border-left: thick $error;

        &.-ascii { border-left: ascii $error; }
    }
    """

    def __init__(self, *, marker: str = "braille", id: str | None = None) -> None:
        super().__init__(marker=marker, id=id)
        self._incidents = Incidents()
        self._last_id = 0

    @property
    def incident(self) -> Incident | None:
        """The alert that is shown; None where there is none."""
        return self._incidents.open[-1] if self._incidents.open else None

    @property
    def entry(self) -> Entry | None:
        """The newest event of the alert that is shown; None where there is none."""
        return self.incident.entries[-1] if self.incident else None

    @property
    def num_open(self) -> int:
        """How many alerts wait for somebody."""
        return len(self._incidents.open)

    def take(self, session: Session, news: News) -> None:
        """Take in the entries that were not seen before."""
        if fresh := since(session.entries, self._last_id):
            self._last_id = fresh[-1].id
            self._incidents.add(fresh)
            self._show()

    def acknowledge(self) -> Incident | None:
        """Somebody has seen the alert that is shown: show the one before. Returns it, None where there was none."""
        seen = self._incidents.acknowledge()
        self._show()
        return seen

    def _show(self) -> None:
        self.display = bool(self._incidents.open)
        self.repaint()

    def lines(self, width: int) -> list[Content]:
        """What and where on one line, the evidence on at most two, the remedy on at most two."""
        incident = self.incident
        if incident is None:
            return []
        told = account(incident)
        return [
            *flow(self._headline(incident, told.what), width),
            *(wrapped(told.where, width, STRONG, most=2) if told.where else ()),
            *(wrapped(told.evidence, width, most=2) if told.evidence else ()),
            *(wrapped(f"remedy: {told.remedy}", width, LABEL, most=2) if told.remedy else ()),
        ]

    def _headline(self, incident: Incident, what: str) -> list[Part]:
        waiting = f" (1 of {self.num_open})" if self.num_open > 1 else ""
        title = Content.assemble((f"{self.signs.alert} ALERT{waiting} ", "bold $text-error"), (what, STRONG))
        pieces = [Part(title)]
        if str(incident.last_step) not in what:
            pieces.append(Part(Content.assemble(("step ", LABEL), jump(str(incident.last_step), incident.last_step))))
        else:
            pieces.append(Part(jump("show", incident.last_step)))
        pieces.append(Part(link("[a] acknowledge", "acknowledge")))
        pieces.append(Part(link("[A] remedies", "remedies")))
        return pieces

"""The alert banner: the incident with the newest alert until it is acknowledged, with cause, place and remedy."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.content import Content

from cockpit.session.activity.activity_text import OVER
from cockpit.session.incidents.incident import Incident
from cockpit.session.incidents.incidents import Incidents
from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.ui.panels.status.alerts.account import IncidentText, account
from cockpit.ui.panels.status.alerts.remedies import remedies_of
from cockpit.ui.panels.toolkit.line_panel import LinePanel
from cockpit.ui.panels.toolkit.line_parts import LinePart, flow, jump, link, wrapped
from cockpit.ui.panels.toolkit.symbols import LABEL, STRONG
from engine.protocol.task_spec import NO_SPEC

_FOLDER: Final = "; evidence in "
"""The words of an alert before the folder of its evidence."""


class Banner(LinePanel):
    """The open incident with the newest alert. It needs every update, also while hidden: it shows and hides itself."""

    TITLE: ClassVar[str] = "Alert"
    HELP = "Alerts with one cause form one incident. The one with the newest alert is shown until it is acknowledged."
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
        self._session: Session | None = None
        self._shown: Incident | None = None
        self._was_over = False

    @property
    def incident(self) -> Incident | None:
        """Return the incident that is shown, or `None`."""
        return self._incidents.newest

    @property
    def num_open(self) -> int:
        """Return the number of open incidents."""
        return len(self._incidents.open)

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Show the incident of the session that has the newest alert."""
        self._incidents, self._session = session.incidents, session
        if self.incident != self._shown or self._was_over is not self._is_over():
            self._was_over = self._is_over()
            self._show()

    def acknowledge(self) -> Incident | None:
        """Acknowledge the incident that is shown and show the next one; return it, or `None`."""
        seen = self._incidents.acknowledge()
        self._show()
        return seen

    def _show(self) -> None:
        self._shown = self.incident
        self.display = self._shown is not None
        self.repaint()

    def lines(self, width: int) -> list[Content]:
        """Return the headline, then cause, place and evidence on at most two lines each, then the remedy."""
        incident = self.incident
        if incident is None:
            return []
        told = account(incident, NO_SPEC if self._session is None else self._session.spec)
        return [
            *flow(self._headline(incident, told, width), width),
            *(wrapped(f"likely cause: {told.cause}", width, STRONG, most=2) if told.cause else ()),
            *(wrapped(told.where, width, STRONG, most=2) if told.where else ()),
            *_evidence(told.evidence, width),
            *(wrapped(f"remedy: {remedy}", width, LABEL, most=3) if (remedy := self._remedy(incident, told)) else ()),
        ]

    def _remedy(self, incident: Incident, told: IncidentText) -> str:
        """Return the recommended command, unless the remedy of the newest alert speaks of the same, and that remedy."""
        session = None if self._is_over() else self._session
        if session is None or session.state is None:
            return told.remedy
        found = remedies_of(incident, session.state, session.now.outcome_of)
        label = found[0].label if found else ""
        # 'halve the learning rate; lower the learning rate, or ...' would say it twice.
        is_told = label.partition(" ")[2] in told.remedy
        return told.remedy if is_told else "; ".join(text for text in (label, told.remedy) if text)

    def _headline(self, incident: Incident, told: IncidentText, width: int) -> list[LinePart]:
        """Return the title, what happened, a link to the step, named if the link begins a line, and the keys."""
        title, step = f"{self.signs.alert} {self._title(incident)} ", incident.last_step
        headline = Content.assemble((title, "bold $text-error"), (told.what, STRONG))
        if str(step) not in told.what:
            where = Content.assemble(("step ", LABEL), jump(str(step), step))
        else:
            is_beside = headline.cell_length + 2 + len("show") <= width
            where = jump("show" if is_beside else f"show step {step}", step)
        pieces = [LinePart(headline), LinePart(where), LinePart(link("[a] acknowledge", "acknowledge"))]
        if not self._is_over():
            pieces.append(LinePart(link("[A] remedies", "remedies")))
        return pieces

    def _is_over(self) -> bool:
        """Return whether the run has ended, so that no remedy applies."""
        state = self._session.state if self._session is not None else None
        return state is not None and state.activity in OVER

    def _title(self, incident: Incident) -> str:
        """Return the number of the incident, its number of alerts, and how many others are open."""
        title = f"ALERT {incident.number} of {len(self._incidents)}" if len(self._incidents) > 1 else "ALERT"
        if self._incidents.was_seen(incident):
            title += ", grown since it was acknowledged"
        others = self.num_open - 1
        return title + (f" ({others} more open)" if others else "")


def _evidence(text: str, width: int) -> list[Content]:
    """Return the evidence on at most two lines, and the folder of a long one on a line of its own, which is not cut."""
    if not text:
        return []
    said, _, folder = text.rpartition(_FOLDER)
    if not said or len(wrapped(text, width)) <= 2:
        return wrapped(text, width, most=2)
    return [*wrapped(said, width, most=2), *wrapped(f"evidence in {folder}", width)]

"""The messages about a run: its end, its alerts once per incident, promotions and rollbacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from cockpit.console.incident_text import incident_line
from cockpit.session.incidents.incident import Incident
from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.event_text import is_information, sentence
from cockpit.text.format import escape_control, number
from cockpit.text.next_steps import resume_command
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.commands import ENGINE
from engine.protocol.events import Status
from engine.protocol.record import record

Kind = Literal["info", "success", "warning", "failure"]

_ORDER: Final[tuple[Kind, ...]] = ("info", "success", "warning", "failure")
_LONGEST: Final = 400
"""Maximum characters of a message's text."""

MOVES: Final = (e.PhasePromoted, e.PhaseDemoted, e.RolledBack)
"""Changes of phase and rollbacks, whether by a person, a rule, the guardian or the autopilot."""


@record
class Notice:
    """One message: its heading, its text in one line, and how serious it is."""

    title: str
    text: str
    kind: Kind


def notices_of(update: SessionUpdate, session: Session, since: float) -> Iterator[Notice]:
    """Yield the messages for what `update` has that is not older than `since`, in seconds since 1970."""
    for incident in (incident for incident in update.began if incident.entries[0].time >= since):
        yield from _began(incident, session)
    for entry in (entry for entry in update.entries if entry.time >= since):
        yield from _happened(entry, session)


def _began(incident: Incident, session: Session) -> Iterator[Notice]:
    """Yield the message about an incident, unless that of its first event says as much."""
    if not isinstance(incident.entries[0].event, e.RunFailed | e.RolledBack):
        kind: Kind = "info" if all(is_information(entry.event) for entry in incident.entries) else "warning"
        yield _notice(f"{session.run_dir.name}: alert {incident.number}", incident_line(incident), kind)


def _happened(entry: Entry, session: Session) -> Iterator[Notice]:
    if entry.status is Status.REFUSED:
        return
    if isinstance(entry.event, MOVES):
        yield _moved(entry, session)
    elif isinstance(entry.event, e.RunFinished | e.RunFailed):
        yield end_notice(session)


def end_notice(session: Session) -> Notice:
    """Return the message about the end of a run, also of one whose process has gone without recording it."""
    state, end = session.state, session.end
    word, said = ("failed", session.abandonment) if end is None else (end.word, end.why)
    facts = [said] if said else []
    if state is not None:
        facts.append(f"step {state.step}" + (f" of {state.total_steps}" if state.total_steps else ""))
    if state is not None and state.best_score is not None:
        facts.append(f"best {session.spec.score or 'score'} {number(state.best_score)}")
    if word == "failed" and session.origin.attached is None:
        facts.append(f"go on with: {resume_command(session.run_dir)}")
    return _notice(f"{session.run_dir.name}: {word}", "; ".join(facts), "failure" if word == "failed" else "success")


def joined(notices: Sequence[Notice], left_out: int = 0) -> Notice:
    """Return one message for several, as serious as the worst of them; `left_out` more are only counted."""
    if len(notices) == 1 and not left_out:
        return notices[0]
    worst = max(notices, key=lambda notice: _ORDER.index(notice.kind))
    lines = [f"{notice.title}: {notice.text}" for notice in notices]
    more = [f"and {left_out} more, earlier"] if left_out else []
    return Notice(f"{worst.title} (and {len(notices) + left_out - 1} more)", "\n".join([*more, *lines]), worst.kind)


def _moved(entry: Entry, session: Session) -> Notice:
    by = "" if entry.actor == ENGINE else f", by {entry.actor}"
    why = f" ({entry.reason})" if entry.reason else ""
    kind: Kind = "info" if isinstance(entry.event, e.PhasePromoted) else "warning"
    return _notice(
        f"{session.run_dir.name}: step {entry.step}", f"{sentence(entry.event, session.spec)}{by}{why}", kind
    )


def _notice(title: str, text: str, kind: Kind) -> Notice:
    return Notice(escape_control(title), escape_control(text)[:_LONGEST], kind)

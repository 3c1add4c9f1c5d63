"""One run in a list: its place, its labels, its facts once they are read, and what it does at present."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from cockpit.session.run_list.facts import STOPPED, RunFacts, present_activity
from engine.journal.disk.labels import Labels
from engine.protocol.events import Activity
from engine.protocol.record import record

UNREADABLE: Final = "unreadable"
NO_JOURNAL: Final = "no journal"
UNREAD: Final = ""

_NO_LABELS: Final = Labels()


@record
class ListedRun:
    """A run of the directory. `state` is its activity, `STOPPED`, `UNREADABLE`, `NO_JOURNAL`, or `UNREAD` until its
    facts are read; `reason` says in a sentence why, if that is not plain. `started` is in seconds since 1970.
    """

    path: Path
    started: float = 0.0
    labels: Labels = _NO_LABELS
    facts: RunFacts | None = None
    state: str = UNREAD
    reason: str = ""
    is_live: bool = False

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def ended(self) -> float:
        """The end of its last process in seconds since 1970; 0 while it lasts, or if it is unknown."""
        return 0.0 if self.facts is None or self.is_live else self.facts.ended

    def with_facts(self, facts: RunFacts) -> ListedRun:
        """Return the run with these facts, and with its state at this moment. Raises ValueError for an unknown one."""
        writer = facts.writer
        activity, reason = present_activity(Activity(facts.activity), writer)
        is_live = writer is not None and writer.is_alive()
        state = STOPPED if facts.is_stopped and activity is Activity.FINISHED else activity.value
        return replace(self, facts=facts, state=state, reason=reason, is_live=is_live)

    def with_problem(self, state: str, reason: str) -> ListedRun:
        """Return the run without facts, for that reason."""
        return replace(self, facts=None, state=state, reason=reason, is_live=False)


def parent_of(run: ListedRun) -> tuple[str, int] | None:
    """Return the name of the run that `run` continues and the step at which it left it; `None` for an own beginning."""
    return None if run.facts is None else run.facts.parent

"""What is worth knowing of a run's metrics at a glance: its best validation, its newest terms, what guessing scores."""

from __future__ import annotations

import math
import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.journal.tail import JournalTail
from engine.journal.task_meta import ATTACHED, HAS_PREVIEWS, PARENT, Attached, Parent, attached_of, parent_of
from engine.protocol.codec import Json
from engine.protocol.events import RunFailed
from engine.protocol.record import record
from engine.protocol.state import RunState

_GRADIENT_BOUND: Final = re.compile(r"^ +max_grad_norm: *([^\s#]+)", re.MULTILINE)
"""One line of a configuration: reading all of its YAML would cost 30 ms at the start of a screen."""


_LITTLE_SPACE: Final = 64 * 1024
"""Bytes below which a disk counts as full."""


@record
class Best:
    """The best validation: the task's score and the step it was measured at, also if a rollback undid that step."""

    score: float
    step: int


def best_of(steps: NDArray[np.int64], scores: NDArray[np.float32], *, lower_is_better: bool = False) -> Best | None:
    """Return the best of the scores that are numbers, the first where several are equal, `None` where none is."""
    if np.isnan(scores).all():
        return None
    at = int(np.nanargmin(scores) if lower_is_better else np.nanargmax(scores))
    return Best(float(scores[at]), int(steps[at]))


def recorded_best(state: RunState | None) -> Best | None:
    """Return the best validation that the run itself keeps, as best.pt; `None` in journals of earlier versions."""
    if state is None or state.best_score is None or state.best_step is None:
        return None
    return Best(state.best_score, state.best_step)


def best_validation(reader: JournalReader) -> Best | None:
    """Return the best validation, the first where several are equal."""
    if recorded := recorded_best(reader.state()):
        return recorded
    spec = reader.spec()
    name = f"val/{spec.score}"
    series = reader.series([name])
    present = series.present[name]
    return best_of(series.steps[present], series.values[name][present], lower_is_better=spec.lower_is_better)


def failure_of(directory: Path) -> str:
    """Return the first line of the error that ended the run in `directory`; empty if it is unknown.

    On a full disk the journal has none.
    """
    try:
        with closing(JournalReader(directory)) as reader:
            failures = [entry.event for entry in reader.events(kinds=("run_failed",))]
    except UserError:
        failures = []
    newest = failures[-1] if failures else None
    recorded = (newest.error.splitlines() or [""])[0] if isinstance(newest, RunFailed) else ""
    return recorded or _lack_of_space(directory)


def _lack_of_space(directory: Path) -> str:
    """Return the sentence about a full disk; an empty string if there is room, or it cannot be told."""
    try:
        free = shutil.disk_usage(directory).free
    except OSError:
        return ""
    full = (
        "its disk is full, so that journal and last checkpoint could not be written; make room, and --resume "
        "continues from the checkpoint before"
    )
    return full if free < _LITTLE_SPACE else ""


def levels_of(levels: Json) -> dict[str, float]:
    """Return the chance levels of a journal's `chance_levels` by loss term; empty before they were computed."""
    if not isinstance(levels, dict):
        return {}
    return {term: float(value) for term, value in levels.items() if isinstance(value, int | float)}


def gradient_bound_of(sessions: Json, attached: Attached | None = None) -> float | None:
    """Return `gate.max_grad_norm` of the newest configuration in a journal's `sessions`; `None` without one.

    An attached run has no gate: its configuration is the program's own, and the bound is infinite.
    """
    if attached is not None:
        return math.inf
    newest = sessions[-1] if isinstance(sessions, list) and sessions else None
    text = newest.get("config") if isinstance(newest, dict) else None
    found = _GRADIENT_BOUND.search(text) if isinstance(text, str) else None
    try:
        bound = float(found[1]) if found else 0.0
    except ValueError:
        return None
    return bound if 0 < bound < math.inf else None


@record
class Origin:
    """What a journal has of a run since its newest start.

    `attached` names the program of an attached run, None for a task; `parent` is that of a branch, None for others.
    `has_previews` is False for a task without previews; an earlier journal lacks it. `gradient_bound` is
    `gate.max_grad_norm`, None if the journal does not contain it, infinite for an attached run.
    """

    attached: Attached | None = None
    parent: Parent | None = None
    has_previews: bool = True
    gradient_bound: float | None = None


def origin_of(tail: JournalTail, run_dir: Path) -> Origin:
    """Return what the journal of the run in `run_dir` has of its newest start. Call it inside a snapshot of `tail`."""
    attached = attached_of(tail.meta(ATTACHED))
    return Origin(
        attached=attached,
        parent=parent_of(tail.meta(PARENT), run_dir),
        has_previews=tail.meta(HAS_PREVIEWS) is not False,
        gradient_bound=gradient_bound_of(tail.meta("sessions"), attached),
    )


def chance_levels(reader: JournalReader) -> dict[str, float]:
    """Return the chance level of each loss term; empty before the run has computed it."""
    return levels_of(reader.meta("chance_levels"))


def last_terms(reader: JournalReader, *, first: int) -> dict[str, float]:
    """Return the raw loss terms of the newest step from `first` on; terms that were not computed are left out."""
    raw = {term: f"loss_raw/{term}" for term in reader.spec().term_names}
    series = reader.series(tuple(raw.values()), first=first)
    return {
        term: float(series.values[name][-1])
        for term, name in raw.items()
        if series.steps.size and series.present[name][-1]
    }

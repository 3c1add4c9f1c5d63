"""Read from a journal how to reproduce its run: the conditions, and the action at each step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import torch

from engine.config.files.yaml_text import dump_config
from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.journal.task_meta import PARENT, parent_of
from engine.protocol import events as e
from engine.protocol.codec import Json, WireError, from_json, to_json
from engine.protocol.commands import REDRIVE
from engine.protocol.events import Activity, Status
from engine.protocol.record import record
from engine.runtime.recorder import RunRecorder
from engine.runtime.reproduce.recorded_action import RecordedAction
from engine.runtime.start.bootstrap import RunRequest

SESSIONS: Final = "sessions"
"""The journal's key for the conditions of each process that trained the run, in order."""


@record
class Conditions:
    """Conditions of one process: resolved configuration, kind of device, torch version and threads."""

    config: str
    device: str
    threads: int
    torch_version: str
    init_from: str = ""


@record
class Timeline:
    """A part of the run with one configuration: its actions in order."""

    conditions: Conditions
    past: tuple[RecordedAction, ...]


@record
class _Reopened:
    """From `step` on, after the due validation if `settled`, the run continued under other conditions."""

    step: int
    conditions: Conditions
    settled: bool


_Item = RecordedAction | _Reopened


def remember_conditions(recorder: RunRecorder, request: RunRequest, *, device: str, init_from: str) -> None:
    """Add this process, which trains on `device`, to the run's sessions.

    `init_from` is the checkpoint of the initial weights, or an empty string.
    """
    config, threads = dump_config(request.config), torch.get_num_threads()
    conditions = Conditions(config, device, threads, torch.__version__, init_from)
    former: list[Json] = []
    if request.resume:
        recorder.journal.flush()
        with closing(JournalReader(request.directory)) as reader:
            former = cast(list[Json], reader.meta(SESSIONS) or [])
    recorder.journal.set_meta(SESSIONS, [*former, to_json(conditions)])


def read_segments(run_dir: Path) -> tuple[Timeline, ...]:
    """Return how to reproduce the run in `run_dir`.

    Raises UserError if the journal lacks the information, or the run has not ended.
    """
    with closing(JournalReader(run_dir)) as reader:
        if reader.is_alive():
            raise UserError(f"the run {run_dir.name!r} is still running: it can be reproduced after its end")
        entries, steps = reader.events(), reader.series(("loss/total",)).steps
        try:
            kept = cast(list[Json], reader.meta(SESSIONS) or [])
            sessions = [from_json(Conditions, session) for session in kept]
            parent = parent_of(reader.meta(PARENT))
        except WireError as error:
            raise UserError(f"the journal of {run_dir.name!r} cannot be understood: {error}") from None
    starts = [entry.event for entry in entries if isinstance(entry.event, e.RunStarted)]
    if not steps.size:
        raise UserError(f"the run {run_dir.name!r} has no steps to reproduce")
    if starts and starts[0].resumed_from and parent is None:
        raise UserError(f"the journal of {run_dir.name!r} begins at {starts[0].resumed_from}: an earlier one was lost")
    if not sessions or len(starts) != len(sessions):
        raise UserError(f"the journal of {run_dir.name!r} does not say under which conditions it was trained")
    return segments_of(entries, sessions, last_step=int(steps[-1]))


def segments_of(entries: Sequence[Entry], sessions: Sequence[Conditions], *, last_step: int) -> tuple[Timeline, ...]:
    """Return the run as one sequence of actions, split where its conditions changed, with the recorded end."""
    items, ended = _line_up(entries, sessions)
    if not _is_complete(entries):
        items.append(_end(last_step, settled=last_step in ended))
    return _cut(sessions[0], items)


def _line_up(entries: Sequence[Entry], sessions: Sequence[Conditions]) -> tuple[list[_Item], set[int]]:
    """Return all valid actions in order, and the boundaries whose epoch was finished, including its validation."""
    waiting = iter(sessions)
    items: list[_Item] = []
    ended: set[int] = set()
    for entry in entries:
        match entry.event:
            case e.RunStarted():
                conditions, at = next(waiting), entry.step
                _take_back(items, at)
                ended = {step for step in ended if step <= at}
                former = next((item.conditions for item in reversed(items) if isinstance(item, _Reopened)), sessions[0])
                if replace(conditions, init_from=former.init_from) != former:
                    items.append(_Reopened(at, conditions, at in ended))
            case e.EpochCompleted():
                ended.add(entry.step)
            case event:
                if (past := _past(entry)) is not None:
                    items.append(replace(past, settled=past.step in ended))
                if isinstance(event, e.RolledBack):
                    ended = {step for step in ended if step < event.after}
    return items, ended


def _past(entry: Entry) -> RecordedAction | None:
    """Return the action in `entry`, or `None`: pauses and notes do not change weights."""
    event, step = entry.event, entry.step
    if isinstance(event, e.RolledBack):
        return RecordedAction(event.before, entry.actor, event, entry.reason)
    asked = isinstance(event, e.ValidationCompleted) and entry.status is not Status.NOTED
    saved = isinstance(event, e.CheckpointSaved) and event.kind in ("asked", "final")
    return RecordedAction(step, entry.actor, event, entry.reason) if asked or saved or _lasts(event) else None


def _lasts(event: e.Event) -> bool:
    return isinstance(event, e.LASTING_EVENTS)


def _take_back(items: list[_Item], step: int) -> None:
    """Remove actions from `items` that a resume from the checkpoint of `step` has undone.

    Actions at that very boundary are repeated by the new process; applying them twice has the effect of once.
    """
    while items and not _survives(items[-1], step):
        items.pop()


def _survives(item: _Item, step: int) -> bool:
    if isinstance(item, RecordedAction) and isinstance(item.event, e.RolledBack):
        return item.event.after <= step
    return item.step < step if isinstance(item, _Reopened) else item.step <= step


def _is_complete(entries: Sequence[Entry]) -> bool:
    ends = [entry.event for entry in entries if isinstance(entry.event, e.RunFinished | e.RunStarted)]
    last = ends[-1]
    return isinstance(last, e.RunFinished) and last.reason == "complete"


def _end(step: int, *, settled: bool) -> RecordedAction:
    stop = e.StopRequested("as far as the recorded run went", before=Activity.RUNNING.value)
    return RecordedAction(step, REDRIVE, stop, settled=settled)


def _cut(conditions: Conditions, items: Iterable[_Item]) -> tuple[Timeline, ...]:
    segments: list[Timeline] = []
    past: list[RecordedAction] = []
    for item in items:
        if isinstance(item, RecordedAction):
            past.append(item)
            continue
        segments.append(Timeline(conditions, (*past, _end(item.step, settled=item.settled))))
        conditions, past = item.conditions, []
    return (*segments, Timeline(conditions, tuple(past)))

"""What a journal knows about driving its run again: under which conditions, and what was done at which step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

import torch

from engine.config.load import dump_config
from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.protocol import events as e
from engine.protocol.codec import Json, WireError, from_json, to_json
from engine.protocol.events import Activity, Status
from engine.runtime.recorder import RunRecorder
from engine.runtime.reproduce.recorded_action import RecordedAction
from engine.runtime.start.bootstrap import RunRequest

SESSIONS: Final = "sessions"
"""The journal's key for the conditions of each process that trained the run, in their order."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one process trained under: resolved configuration, kind of device, torch and its threads."""

    config: str
    device: str
    threads: int
    torch_version: str
    init_from: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A stretch of the run under one configuration: what was done on the way, in its order."""

    conditions: Conditions
    past: tuple[RecordedAction, ...]


@dataclass(frozen=True, slots=True)
class _Reopened:
    """From `step` on, `settled` after the validation that was due there, the run went on under other conditions."""

    step: int
    conditions: Conditions
    settled: bool


_Item = RecordedAction | _Reopened


def remember_conditions(recorder: RunRecorder, request: RunRequest, *, device: str, init_from: str) -> None:
    """Add this process, which trains on `device`, to the run's sessions; the weights came from `init_from`, if any."""
    config, threads = dump_config(request.config), torch.get_num_threads()
    conditions = Conditions(config, device, threads, torch.__version__, init_from)
    former: list[Json] = []
    if request.resume:
        recorder.journal.flush()
        with closing(JournalReader(request.directory)) as reader:
            former = cast(list[Json], reader.meta(SESSIONS) or [])
    recorder.journal.set_meta(SESSIONS, [*former, to_json(conditions)])


def read_segments(run_dir: Path) -> tuple[Timeline, ...]:
    """How to drive the run in `run_dir` again. Raises UserError where that cannot be told, or it still goes on."""
    with closing(JournalReader(run_dir)) as reader:
        if reader.is_alive():
            raise UserError(f"the run {run_dir.name!r} still goes on: it can be driven again once it has ended")
        entries, steps = reader.events(), reader.series(("loss/total",)).steps
        try:
            kept = cast(list[Json], reader.meta(SESSIONS) or [])
            sessions = [from_json(Conditions, session) for session in kept]
        except WireError as error:
            raise UserError(f"the journal of {run_dir.name!r} cannot be understood: {error}") from None
    starts = [entry.event for entry in entries if isinstance(entry.event, e.RunStarted)]
    if not steps.size:
        raise UserError(f"the run {run_dir.name!r} has taken no step: there is nothing to drive again")
    if starts and starts[0].resumed_from:
        raise UserError(f"the journal of {run_dir.name!r} begins at {starts[0].resumed_from}: an earlier one was lost")
    if not sessions or len(starts) != len(sessions):
        raise UserError(f"the journal of {run_dir.name!r} does not say under which conditions it was trained")
    return segments_of(entries, sessions, last_step=int(steps[-1]))


def segments_of(entries: Sequence[Entry], sessions: Sequence[Conditions], *, last_step: int) -> tuple[Timeline, ...]:
    """The run as one line of things done, cut where its conditions changed; it ends where the recorded one did."""
    items, ended = _line_up(entries, sessions)
    if not _is_complete(entries):
        items.append(_end(last_step, settled=last_step in ended))
    return _cut(sessions[0], items)


def _line_up(entries: Sequence[Entry], sessions: Sequence[Conditions]) -> tuple[list[_Item], set[int]]:
    """Everything that counts, in its order, and the boundaries whose epoch was closed, validation and all."""
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
    """What `entry` asks to be done again, None for nothing: pauses and notes do not move a weight."""
    event, step = entry.event, entry.step
    if isinstance(event, e.RolledBack):
        return RecordedAction(event.before, entry.actor, event, entry.reason)
    asked = isinstance(event, e.ValidationCompleted) and entry.status is not Status.NOTED
    saved = isinstance(event, e.CheckpointSaved) and event.kind in ("asked", "final")
    return RecordedAction(step, entry.actor, event, entry.reason) if asked or saved or _lasts(event) else None


def _lasts(event: e.Event) -> bool:
    return isinstance(event, e.LASTING_EVENTS)


def _take_back(items: list[_Item], step: int) -> None:
    """A process went on from the checkpoint of `step`: what was done after the run last passed it does not count.

    What was done at that very boundary is done again by the new process too; doing it twice is doing it once.
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
    return RecordedAction(step, "redrive", stop, settled=settled)


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

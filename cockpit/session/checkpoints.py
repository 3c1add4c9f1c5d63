"""The checkpoints for a rollback, with step, loss, score and age of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from engine.journal.reader import Entry
from engine.protocol.events import CheckpointSaved
from engine.protocol.record import record
from engine.protocol.state import RunState


@record
class Checkpoint:
    """A checkpoint on disk: its step, and `saved_at` in seconds since 1970; `None` if it is not recorded."""

    name: str
    step: int | None
    kind: str = ""
    loss: float | None = None
    score: float | None = None
    good: bool = False
    saved_at: float | None = None


def checkpoints_of(state: RunState, entries: Sequence[Entry]) -> tuple[Checkpoint, ...]:
    """Return the checkpoints on disk, newest step first; `entries` are all events of the run, oldest first."""
    found = {PurePath(entry.event.path).name: entry for entry in entries if isinstance(entry.event, CheckpointSaved)}
    known = [_checkpoint(name, found.get(name)) for name in state.checkpoints]
    return tuple(sorted(known, key=lambda checkpoint: checkpoint.step or 0, reverse=True))


def step_of(name: str) -> int | None:
    """Return the step in a checkpoint's file name: 120 for `step-00000120.pt`; `None` for another name."""
    digits = name.removesuffix(".pt").rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else None


def way_back(state: RunState, name: str) -> str:
    """Return how far back a rollback to the checkpoint goes: 'back 120 steps, from 480 to 360'."""
    step = step_of(name)
    if step is None:
        return f"to {name}"
    gone = state.step - step
    return f"back {gone} step{'' if gone == 1 else 's'}, from {state.step} to {step}"


def _checkpoint(name: str, entry: Entry | None) -> Checkpoint:
    step = step_of(name)
    if entry is None or not isinstance(entry.event, CheckpointSaved):
        return Checkpoint(name, step)
    saved = entry.event
    loss = saved.loss if step else None  # before the first step there is no loss, which the event has as NaN
    return Checkpoint(name, step, saved.kind, loss, saved.score, saved.good, entry.time)

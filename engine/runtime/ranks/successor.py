"""Save a run whose rank 0 has died or hangs: rank 1 writes the checkpoint, if it can reach the run's directory."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.config.files.yaml_text import dump_config
from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS, LOCK_FILE, lock_run, running_process
from engine.protocol.codec import to_text
from engine.protocol.state import RunState
from engine.protocol.wire import state_to_text
from engine.runtime.ranks.rank_state import RankState
from engine.supervision.run_memory import RunMemory
from engine.training.checkpoint.checksum import checksum_path
from engine.training.checkpoint.file import Snapshot, checkpoint_name, save_checkpoint

LOST: Final = "lost_rank"
"""The key of a checkpoint that another rank has written: the sentence about rank 0."""


def save_for_rank_0(directory: Path, config: RunConfig, state: RunState, train_state: RankState, lost: str) -> str:
    """Write the checkpoint of `state`, without the statistics of monitors and gate, which only rank 0 had.

    `lost` is the sentence about rank 0. Return the name, also of one that rank 0 has written itself. Return an empty
    string if this machine has no such run, or another process than rank 0 holds its lock.
    """
    checkpoints = directory / CHECKPOINTS
    name = checkpoint_name(state.step)
    if not state.step or not (directory / LOCK_FILE).exists():
        return ""
    if (checkpoints / name).exists() and checksum_path(checkpoints / name).exists():
        return name
    payload = {
        "step": state.step,
        "state": state_to_text(state),
        "config": dump_config(config),
        "validation_due": train_state.position.index == 0,
        "books": to_text(RunMemory(config, state.spec).state_dict()),
        "good": False,
        LOST: lost,
        **train_state.snapshot(),
    }
    snapshot = Snapshot(state.step, "final", payload, float("nan"), state.score, good=False, best=False)
    try:
        with _owned(directory, train_state.group.pulse.beats()[0].process):
            save_checkpoint(checkpoints, snapshot)
    except (OSError, UserError):
        return ""
    return name


@contextmanager
def _owned(directory: Path, rank_0: str) -> Generator[None]:
    """Hold the run's lock in the block, unless a hanging rank 0 holds it, which cannot write meanwhile.

    If it goes on later, it writes the same state. Raises UserError if another process holds the lock.
    """
    holder = running_process(directory)
    if holder and holder in rank_0.split():
        yield
    else:
        with lock_run(directory):
            yield

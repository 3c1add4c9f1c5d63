"""Settings of attached runs: which rules of the engine apply to a foreign training, and where its run lies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from engine.adapters.run.run_files import program_of
from engine.config.sections import CheckpointConfig
from engine.config.supervision_sections import AutopilotConfig, GateConfig, GuardConfig
from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.journal.disk.find_run import find_run
from engine.journal.disk.new_run import create_run
from engine.protocol.events import ValidationCompleted

_AROUND: Final = "training_cockpit_engine.adapters.child.attach"
"""The module that watches a program started by `training-cockpit run`; see `child/sitecustomize.py`."""
RUNS_DIR: Final = "runs"
_NO_BOUND: Final = 1e30
"""A bound on the gradient norm that no alert reaches: what is large is relative to the training."""


def attached_config(checkpoint_every: int = 0) -> RunConfig:
    """Return the engine's settings for a foreign training."""
    return RunConfig(
        checkpoint=CheckpointConfig(every_steps=checkpoint_every),
        gate=GateConfig(max_grad_norm=_NO_BOUND),
        guard=GuardConfig(share_every_steps=0),
        autopilot=AutopilotConfig(enabled=False),
    )


def run_directory(runs_dir: str | Path, run: str, *, resume: bool) -> Path:
    """Return the directory of a new run, or of the run to resume.

    A program that `training-cockpit run` has started records in the directory of that command. Raises UserError if a
    new run exists or an old one does not.
    """
    parent, around = Path(runs_dir or RUNS_DIR).absolute(), _around()  # the program may go to another directory
    if resume:
        if around is not None and not run:
            raise UserError("`training-cockpit run` has begun a run, so the newest is not yours: name it, run='...'")
        found = find_run(parent, run or "latest", to_write=True)
        if around is not None:
            around.make_way(str(found))
        return found
    given = around.make_way() if around is not None else ""
    return Path(given) if given else create_run(parent, run, stem=Path(program_of()).stem)


def leave_to_rank_0() -> None:
    """Let this process not be watched from outside: another process of the training records it."""
    if (around := _around()) is not None:
        around.let_go()


def _around() -> Any:
    """Return the module that watches this program from outside, `None` for none."""
    return sys.modules.get(_AROUND)


class NoValidation:
    """In place of the engine's validation: a foreign training validates by itself."""

    def validate(self) -> ValidationCompleted | None:
        """Return `None`: nothing is measured."""
        return None

    def report_stuck_readers(self) -> None:
        """Do nothing: the loader is the training's own."""

    def forget_after(self, step: int) -> None:
        """Do nothing: there are no pictures."""

    def close(self) -> None:
        """Do nothing: there are no pictures."""

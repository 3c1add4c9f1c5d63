"""Settings of attached runs: which rules of the engine apply to a foreign training, and where its run lies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from engine.adapters.run.run_files import program_of
from engine.config.tree import AutopilotConfig, CheckpointConfig, GateConfig, GuardConfig, RunConfig
from engine.journal.disk.run_dir import create_run, find_run
from engine.protocol.events import ValidationCompleted

RUN_DIRECTORY: Final = "TRAINING_COCKPIT_RUN"
"""Environment variable with the directory of the run, set by `training-cockpit run`."""
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

    `training-cockpit run` names it in the environment. Raises UserError if a new run exists or an old one does not.
    """
    given = os.environ.get(RUN_DIRECTORY, "")
    if given:
        return Path(given)
    parent = Path(runs_dir or RUNS_DIR)
    if resume:
        return find_run(parent, run or "latest", to_write=True)
    return create_run(parent, run, stem=Path(program_of()).stem)


class NoValidation:
    """Stands for the engine's validation, which a foreign training does by itself."""

    def validate(self) -> ValidationCompleted | None:
        """Return `None`: nothing is measured."""
        return None

    def report_stuck_readers(self) -> None:
        """Do nothing: the loader is the training's own."""

    def forget_after(self, step: int) -> None:
        """Do nothing: there are no pictures."""

    def close(self) -> None:
        """Do nothing: there are no pictures."""

"""A trainer's training as the cockpit needs it, and the state with which its run begins or goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import field, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.adapters.capabilities import Adapter
from engine.adapters.hooks.optimizers.watched_optimizer import LearningRate
from engine.adapters.run.attached_run import AttachedRun
from engine.adapters.run.description import with_description
from engine.adapters.run.run_files import program_of
from engine.adapters.run.settings import RUNS_DIR, NoValidation, attached_config, run_directory
from engine.adapters.run.state.attached_state import AttachedState, highest_rate
from engine.adapters.trainers.training_frame import TrainingFrame
from engine.journal.reader import JournalReader
from engine.protocol.codec import WireError
from engine.protocol.events import Activity
from engine.protocol.record import record
from engine.protocol.state import Limits, RunState, with_decided, with_measured
from engine.protocol.task_spec import Phase, TaskSpec, Unsupported
from engine.protocol.wire import state_from_text, state_to_text


@record
class RunOptions:
    """What the user says of the run: its name, recorded configuration, directory, and the metric of the best score.

    With `resume`, a run of this name goes on if it exists. Without it, a further training of the same callback is a
    run of its own, such as `NAME-2`; `begun` are the directories of those before.
    """

    run: str = ""
    config: Mapping[str, Any] | None = None
    runs_dir: str | Path = ""
    resume: bool = False
    score: str = ""
    lower_is_better: bool = False
    begun: set[Path] = field(default_factory=set[Path], compare=False)

    def directory(self) -> tuple[Path, bool]:
        """Return the run's directory, and whether a run in it goes on.

        Raises UserError if the run exists and is not to be resumed.
        """
        parent = Path(self.runs_dir or RUNS_DIR).absolute()
        exists = bool(self.run) and (parent / self.run).is_dir()
        is_resumed = self.resume and (exists or not self.run)
        name = self.run
        if exists and not is_resumed and parent / self.run in self.begun:
            further = (f"{self.run}-{number}" for number in count(2))
            name = next(one for one in further if not (parent / one).exists())
        directory = run_directory(self.runs_dir, name, resume=is_resumed)
        self.begun.add(directory)
        return directory, is_resumed


@record
class TrainerTraining:
    """What a trainer is about to train. `total` is its length in steps, 0 if unknown; `step` are the steps done.

    `saved` is the cockpit's part of the checkpoint that the trainer resumed from, empty for none. `replayed` are the
    networks whose passes are repeated to name a fault, `lacks` what this very trainer cannot do. `judges_closures` is
    False if the adapter looks at the gradients itself. `rank` of `num_ranks` is this process; only rank 0 records.
    `frame` is the call that trains, if the trainer does not tell of an exception that leaves it.
    """

    models: Mapping[str, nn.Module]
    optimizers: Sequence[torch.optim.Optimizer]
    config: Mapping[str, Any]
    total: int = 0
    step: int = 0
    saved: Mapping[str, Any] = field(default_factory=dict[str, Any])
    replayed: Mapping[str, nn.Module] = field(default_factory=dict[str, nn.Module])
    lacks: tuple[Unsupported, ...] = ()
    judges_closures: bool = True
    rank: int = 0
    num_ranks: int = 1
    frame: TrainingFrame | None = None


def new_state(name: str, adapter: Adapter, options: RunOptions, training: TrainerTraining) -> RunState:
    """Return the state of the new run `name`."""
    rate = highest_rate(training.optimizers)
    return RunState(
        run=name,
        spec=TaskSpec(
            name=Path(program_of()).stem,
            score=options.score,
            lower_is_better=options.lower_is_better,
            phases=(Phase("training"),),
            unsupported=(*adapter.unsupported(), *training.lacks),
        ),
        gradient_clip=math.inf,
        optimizer=type(training.optimizers[0]).__name__.lower(),
        guardian=False,
        limits=Limits(lr_max=max(10 * rate, 1e-2), lr_configured=rate, max_gradient_clip=math.inf),
    )


def resumed_state(directory: Path, fresh: RunState, training: TrainerTraining, rate: LearningRate) -> RunState:
    """Return the run's state at the trainer's checkpoint, and set the reference of `rate`.

    A checkpoint without the cockpit's part leaves the newest decisions in force.
    """
    reader = JournalReader(directory)
    try:
        known = reader.state()
    finally:
        reader.close()
    if known is None:
        return with_measured(fresh, step=training.step)
    step = training.step
    with suppress(WireError, KeyError):
        known = state_from_text(training.saved["state"], known.spec)
        rate.reference = float(training.saved["lr_reference"])
        step = int(training.saved["step"])
    known = with_description(replace(known, run=fresh.run), fresh.spec)
    state = with_decided(known, activity=Activity.STARTING, limits=fresh.limits)
    return with_measured(state, step=step, steps_until_pause=None)


def opened_run(adapter: Adapter, options: RunOptions, training: TrainerTraining, live: AttachedState) -> AttachedRun:
    """Return the open run of `training`. Raises UserError if it exists and is not resumed, or cannot be written."""
    directory, is_resumed = options.directory()
    run = AttachedRun(directory, attached_config(), live, NoValidation())
    run.hands_over = True
    state = new_state(directory.name, adapter, options, training)
    if is_resumed:
        state = resumed_state(directory, state, training, live.hooks.learning_rate)
        live.adopt(state)
    described = {"adapter": adapter.name, "program": program_of(), "config": training.config}
    run.open(state, described, is_resumed=is_resumed)
    return run


def saved_decisions(run: AttachedRun, rate: LearningRate) -> dict[str, Any]:
    """Return what a trainer's checkpoint keeps: the state of `run`, its step, and the reference of `rate`."""
    run.settle()
    return {"state": state_to_text(run.recorder.state), "step": run.step, "lr_reference": rate.reference}

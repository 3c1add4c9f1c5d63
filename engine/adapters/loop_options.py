"""Options of `Cockpit`, and the state in which its run begins or goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypedDict

import torch

from engine.adapters.capabilities import LOOP
from engine.adapters.hooks.optimizers.wrapped_optimizers import updating
from engine.adapters.run.description import with_description, with_terms
from engine.adapters.run.run_files import program_of
from engine.adapters.run.state.attachable import Stateful
from engine.adapters.run.state.attached_state import highest_rate
from engine.errors import UserError
from engine.journal.disk.run_dir import has_journal
from engine.journal.reader import JournalReader
from engine.protocol.record import record
from engine.protocol.state import Limits, RunState, with_decided, with_measured
from engine.protocol.task_spec import Phase, TaskSpec
from engine.protocol.wire import state_from_text
from engine.training.checkpoint.file import checkpoint_name


class OptionWords(TypedDict, total=False):
    """The keywords of `Cockpit`; `LoopOptions` has their meaning and defaults."""

    run: str
    config: Mapping[str, Any] | None
    scheduler: Stateful | None
    scaler: Stateful | None
    runs_dir: str | Path
    resume: bool
    score: str
    lower_is_better: bool
    checkpoint_every: int
    guardian: bool
    max_steps: int
    layers_every: int


@record
class LoopOptions:
    """Options of `Cockpit`.

    `run` is the name of the run, made from the program and the time if empty; `config` is recorded and shown.
    `scheduler` and `scaler` are saved and restored with the weights. With `resume` the run goes on from its newest
    checkpoint. `score` names the metric of `validated` by which the best checkpoint is chosen; the first one if empty.
    `checkpoint_every` is the number of steps between checkpoints, 0 for one per epoch. With `guardian`, repeated
    non-finite steps return the run to its last good checkpoint with a lower learning rate. `max_steps` is the expected
    length, for the time that is left; 0 if unknown. `layers_every` is the number of steps between measurements of
    single layers, 0 for none; `None` for what the environment's TRAINING_COCKPIT_LAYERS says. Without
    it the number is 50, doubled while measuring would cost more than a thousandth of the time.
    """

    run: str = ""
    config: Mapping[str, Any] | None = None
    scheduler: Stateful | None = None
    scaler: Stateful | None = None
    runs_dir: str | Path = ""
    resume: bool = False
    score: str = ""
    lower_is_better: bool = False
    checkpoint_every: int = 0
    guardian: bool = False
    max_steps: int = 0
    layers_every: int | None = None

    def checked(self) -> Self:
        """Return these options. Raises UserError for a value that no training can have."""
        if not isinstance(self.run, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UserError(f"Cockpit(run=...) has to be a text, not {self.run!r}")
        for name, part in {"scheduler": self.scheduler, "scaler": self.scaler}.items():
            if part is not None and not isinstance(part, Stateful):  # pyright: ignore[reportUnnecessaryIsInstance]
                kind = type(part).__name__
                raise UserError(
                    f"Cockpit({name}=...) has to have state_dict and load_state_dict, which a {kind} has not"
                )
        for name, value in {"checkpoint_every": self.checkpoint_every, "layers_every": self.layers_every or 0}.items():
            if not isinstance(value, int) or value < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
                raise UserError(f"Cockpit({name}=...) has to be a whole number of steps from 0 on, not {value!r}")
        return self

    def stateful(self, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Stateful]:
        """Return the parts that are saved with the weights and the optimizers that update them, by name."""
        given = {"scheduler": self.scheduler, "scaler": self.scaler}
        outer = [one for one in optimizers if one not in updating(one)]
        wrappers = {f"optimizer {number}": _Wrapper(one) for number, one in enumerate(outer)}
        return {**{name: part for name, part in given.items() if part is not None}, **wrappers}

    def first_state(self, run: str, optimizers: Sequence[torch.optim.Optimizer]) -> RunState:
        """Return the state in which the run named `run` begins."""
        rate = highest_rate(optimizers)
        return RunState(
            run=run,
            spec=TaskSpec(
                name=Path(program_of()).stem,
                score=self.score,
                lower_is_better=self.lower_is_better,
                phases=(Phase("training"),),
                unsupported=LOOP.unsupported(),
            ),
            gradient_clip=math.inf,
            optimizer=type(optimizers[0]).__name__.lower(),
            guardian=self.guardian,
            limits=Limits(lr_max=max(10 * rate, 1e-2), lr_configured=rate, max_gradient_clip=math.inf),
        )


def resumed_state(directory: Path, payload: Mapping[str, Any], fresh: RunState) -> RunState:
    """Return the state in which the run in `directory` goes on from the checkpoint `payload`.

    Its name, and what the program says of it, are those of `fresh`, the state of a new run. Its journal has the terms.
    """
    then = state_from_text(payload["state"])
    known = with_terms(fresh.spec, tuple(then.loss_weights))
    if has_journal(directory):
        with closing(JournalReader(directory, at_rest=True)) as reader:
            known = reader.spec()
    state = with_description(replace(then, run=fresh.run, spec=known), fresh.spec)
    return with_decided(
        with_measured(state, steps_until_pause=None), last_checkpoint=checkpoint_name(int(payload["step"]))
    )


class _Wrapper:
    """The state of an optimizer that wraps others; what they share with it stays shared when it is restored."""

    def __init__(self, outer: torch.optim.Optimizer) -> None:
        self._outer = outer
        self._groups = [(one, one.param_groups) for one in (outer, *updating(outer))]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the wrapper; an empty one if its class has none, as it never called that of torch."""
        try:
            return self._outer.state_dict()
        except AttributeError:
            return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of the wrapper, after that of the optimizers inside it."""
        if state_dict:
            self._outer.load_state_dict(state_dict)
        for one, groups in self._groups:
            for group, loaded in zip(groups, one.param_groups, strict=False):
                group.update({name: value for name, value in loaded.items() if name != "params"})
            one.param_groups = groups

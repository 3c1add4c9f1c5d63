"""The live state of a foreign training: networks, optimizers, schedule, generators and the position of its loader."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.update_judge import num_processes
from engine.adapters.run.state.attachable import Stateful
from engine.adapters.run.state.checkpoint_fit import full_name, misfit, weights_for
from engine.adapters.run.state.generators import random_states, set_random_states
from engine.errors import UserError
from engine.protocol import events as e
from engine.protocol.events import Event
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.training.checkpoint.content import CheckpointMisfitError
from engine.training.checkpoint.file import CheckpointDamagedError, list_checkpoints, load_checkpoint
from engine.training.checkpoint.values import copy_to_host, is_plain_tree
from engine.training.device import describe

EXTRA_STATE: Final = "extra_state"
"""The optional entry of a checkpoint with what modules return from `get_extra_state`, by the names of `model`."""


@record
class StepPlace:
    """The place in an epoch after a step; `random` are the generators there, `None` if they were not kept."""

    batches: int
    state: Mapping[str, Any] | None
    random: Mapping[str, Any] | None


@dataclass(slots=True)
class LoaderPosition:
    """The place of a training in its data: completed epochs, and batches read in the current one.

    `random` are the generators at the start of the epoch, so that the same order can be drawn again. `state` is the
    loader's own state, for a loader that has one. `settled` is the place after the last step, from which a resume goes
    on, while the batches after it have not led to an update.
    """

    epoch: int = 0
    batches: int = 0
    length: int = 0
    random: Mapping[str, Any] | None = None
    state: Mapping[str, Any] | None = None
    settled: StepPlace | None = None


@dataclass(slots=True)
class AttachedState:
    """All that a checkpoint of a foreign training holds. `total` is its expected length in steps, 0 if unknown.

    `others` returns the own parts of the other processes by rank, `num_ranks` is their number with this one.
    `on_restore` is called with each checkpoint that is restored.
    """

    models: Mapping[str, nn.Module]
    hooks: OptimizerHooks
    stateful: Mapping[str, Stateful] = field(default_factory=dict[str, Stateful])
    position: LoaderPosition = field(default_factory=LoaderPosition)
    total: int = 0
    num_ranks: int = 1
    others: Callable[[], Mapping[int, Mapping[str, Any]]] = lambda: {}
    on_restore: Callable[[Mapping[str, Any]], object] = lambda _: None

    @property
    def device(self) -> torch.device:
        """The device of the first parameter."""
        parameters = (p for model in self.models.values() for p in model.parameters())
        first = next(parameters, None)
        return first.device if first is not None else torch.device("cpu")

    @property
    def is_known(self) -> bool:
        """True: networks and optimizers are given."""
        return True

    def describe_device(self) -> str:
        """Return the device in words."""
        return describe(self.device, num_processes())

    def num_parameters(self) -> int:
        """Return the number of parameters of all networks."""
        return sum(p.numel() for model in self.models.values() for p in model.parameters())

    def learning_rate(self) -> float:
        """Return the learning rate in force, of the first group."""
        return self.hooks.learning_rate.at(self.hooks.scheduled_lr())

    def let_go(self) -> None:
        """Let the hooks on the optimizers do nothing more."""
        self.hooks.retire()

    @property
    def progress(self) -> float:
        """Completed epochs, fractional where the loader has a length."""
        position = self.position
        part = min(position.batches / position.length, 1.0) if position.length else 0.0
        return position.epoch + part

    @property
    def epoch(self) -> int:
        """The epoch (from 0) of the last step."""
        return max(self.position.epoch - (self.position.batches == 0), 0)

    def total_steps(self, state: RunState) -> int:
        """Return the expected length of the run in steps; 0 if it is unknown."""
        return self.total

    def carry_out(self, event: Event, state: RunState) -> None:
        """Note the schedule's rate to which a learning rate set by hand belongs."""
        if isinstance(event, e.LrSet):
            self.hooks.learning_rate.reference = self.hooks.scheduled_lr()

    def adopt(self, state: RunState) -> None:
        """Bring the decided learning rate and clip into force."""
        rate = self.hooks.learning_rate
        rate.scale = state.lr_scale
        rate.pin = state.lr_pin.value if state.lr_pin else None
        self.hooks.clip = state.gradient_clip

    def request_histogram(self, layer: str) -> str:
        """Take histograms of `layer` at the next step; return why that is impossible, or an empty string."""
        return self.hooks.layers.request_histogram(layer)

    def is_finite(self) -> bool:
        """Return whether every trained weight and every moment is finite. Waits for the device."""
        weights = [p.detach() for model in self.models.values() for p in model.parameters() if p.requires_grad]
        states: list[dict[str, Any]] = [one for optimizer in self.hooks.optimizers for one in optimizer.state.values()]
        moments = [value for state in states for value in state.values() if isinstance(value, Tensor)]
        return all(bool(torch.isfinite(value).all()) for value in (*weights, *moments) if value.is_floating_point())

    def snapshot(self) -> dict[str, Any]:
        """Return all data that a resume needs besides the RunState, copied to the host."""
        rate = self.hooks.learning_rate
        others = {"num_ranks": self.num_ranks, "ranks": self.others()} if self.num_ranks > 1 else {}
        settled = self.position.settled
        return {
            **others,
            **_weights_and_more(self.models),
            "optimizers": [copy_to_host(optimizer.state_dict()) for optimizer in self.hooks.optimizers],
            "stateful": {name: copy_to_host(part.state_dict()) for name, part in self.stateful.items()},
            "rng": random_states() if settled is None or settled.random is None else copy_to_host(settled.random),
            "lr_reference": rate.reference,
            "position": self.snapshot_position(),
        }

    def between_epochs(self) -> dict[str, Any]:
        """Return copies of what a program changes between two epochs, as by a validation: generators and schedules."""
        given = {name: part for name, part in self.stateful.items() if name in ("scheduler", "scaler")}
        return {
            "rng": random_states(),
            "rates": [group["lr"] for optimizer in self.hooks.optimizers for group in optimizer.param_groups],
            "stateful": {name: copy_to_host(part.state_dict()) for name, part in given.items()},
        }

    def snapshot_position(self) -> dict[str, Any]:
        """Return the place in the data, copied to the host."""
        position = self.position
        read = position.settled or position
        return {
            "epoch": position.epoch,
            "batches": read.batches,
            "random": None if position.random is None else copy_to_host(position.random),
            "state": None if read.state is None else copy_to_host(read.state),
        }

    def load(self, path: Path) -> dict[str, Any]:
        """Return the checkpoint at `path`. Raises CheckpointDamagedError unless `restore` can use it."""
        payload = load_checkpoint(path)
        if reason := misfit(payload, self.models, self.hooks.optimizers):
            raise CheckpointMisfitError(f"{path.name} cannot be resumed: {reason}")
        return payload

    def load_newest(self, directory: Path) -> tuple[dict[str, Any], Sequence[e.CheckpointDamaged]]:
        """Return the newest checkpoint in `directory` that is whole, and those after it, which are not.

        Raises UserError if there is none, or if it does not fit: an earlier one would lose steps without a word.
        """
        damaged: list[e.CheckpointDamaged] = []
        reason = "it has none"
        for path in reversed(list_checkpoints(directory)):
            try:
                return self.load(path), damaged
            except CheckpointMisfitError as error:
                reason = str(error)
                break
            except CheckpointDamagedError as error:
                damaged.append(e.CheckpointDamaged(path.name, str(error)))
                reason = damaged[0].error
        raise UserError(f"no usable checkpoint in {directory}: {reason}; begin a new run under another name")

    def restore(self, payload: Mapping[str, Any], state: RunState) -> None:
        """Restore the result of `snapshot` but the position: weights, optimizers, schedule and generators."""
        weights = {**payload["model"], **payload.get(EXTRA_STATE, {})}
        for prefix, model in self.models.items():
            model.load_state_dict(weights_for(model, prefix, weights), strict=False)
        self.hooks.buffers.keep()
        for optimizer, held in zip(self.hooks.optimizers, payload["optimizers"], strict=True):
            optimizer.load_state_dict(copy_to_host(held))
            optimizer.zero_grad(set_to_none=True)
        for name, part in self.stateful.items():
            if name in payload["stateful"]:
                part.load_state_dict(copy_to_host(payload["stateful"][name]))
        set_random_states(payload["rng"])
        self.hooks.learning_rate.reference = float(payload["lr_reference"])
        self.adopt(state)
        self.on_restore(payload)

    def take_up_position(self, payload: Mapping[str, Any]) -> None:
        """Go on reading where the checkpoint was written. A rollback does not: it goes on with the next batch."""
        held: Mapping[str, Any] = payload["position"]
        batches, order, state = int(held["batches"]), held["random"], held["state"]
        if (number := int(payload.get("num_ranks", 1))) != self.num_ranks:
            # about the same place: so many samples were read by another number of processes
            batches, order, state = batches * number // self.num_ranks, random_states(), None
        self.position = LoaderPosition(int(held["epoch"]), batches, 0, order, state)


def _weights_and_more(models: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Return the entries of a checkpoint with the weights, and with plain values that modules keep besides, if any."""
    held = {
        full_name(prefix, name): copy_to_host(value)
        for prefix, model in models.items()
        for name, value in cast(Mapping[str, Any], model.state_dict()).items()
    }
    weights = {name: value for name, value in held.items() if isinstance(value, Tensor)}
    others = {name: value for name, value in held.items() if name not in weights and is_plain_tree(value)}
    return {"model": weights, **({EXTRA_STATE: others} if others else {})}


def highest_rate(optimizers: Sequence[torch.optim.Optimizer]) -> float:
    """Return the highest learning rate that the optimizers were built with; 0 for none."""
    rates = [
        float(group.get("initial_lr", group.get("lr", 0.0)))
        for optimizer in optimizers
        for group in optimizer.param_groups
    ]
    return max((rate for rate in rates if math.isfinite(rate)), default=0.0)

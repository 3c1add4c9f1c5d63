"""The live state of a foreign training: networks, optimizers, schedule, generators and the position of its loader."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from engine.adapters.hooks.gradient_reader import WRAPPERS
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.update_judge import num_processes
from engine.errors import UserError
from engine.protocol import events as e
from engine.protocol.codec import WireError, from_text
from engine.protocol.events import Event
from engine.protocol.state import RunState
from engine.protocol.wire import state_from_text
from engine.training.checkpoint.file import CheckpointDamagedError, list_checkpoints, load_checkpoint
from engine.training.checkpoint.live_state import LiveState
from engine.training.checkpoint.random_states import host_random_states, set_host_random_states
from engine.training.checkpoint.values import copy_to_host
from engine.training.device import describe


@runtime_checkable
class Stateful(Protocol):
    """An object with a state to save: a schedule, a loss scaler or a data loader."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state."""
        ...


class Attachable(LiveState, Protocol):
    """The live state of a foreign training, in this process or in another one."""

    total: int

    @property
    def is_known(self) -> bool:
        """Whether it is known yet what trains."""
        ...

    def describe_device(self) -> str:
        """Return the device in words."""
        ...

    def num_parameters(self) -> int:
        """Return the number of parameters."""
        ...

    def learning_rate(self) -> float:
        """Return the learning rate in force, of the first group."""
        ...

    def adopt(self, state: RunState) -> None:
        """Bring the decided learning rate and clip into force."""
        ...

    def take_up_position(self, payload: Mapping[str, Any]) -> None:
        """Go on reading where the checkpoint was written."""
        ...

    def let_go(self) -> None:
        """Change nothing more in the training. Any thread may call it."""
        ...


@dataclass(slots=True)
class LoaderPosition:
    """The place of a training in its data: completed epochs, and batches read in the current one.

    `random` are the generators at the start of the epoch, so that the same order can be drawn again. `state` is the
    loader's own state, for a loader that has one.
    """

    epoch: int = 0
    batches: int = 0
    length: int = 0
    random: Mapping[str, Any] | None = None
    state: Mapping[str, Any] | None = None


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
        """Return whether every weight and moment is finite. Waits for the device."""
        held: list[Tensor] = [p.detach() for model in self.models.values() for p in model.parameters()]
        for optimizer in self.hooks.optimizers:
            for state in optimizer.state.values():
                held += [value for value in cast(dict[str, Any], state).values() if isinstance(value, Tensor)]
        return all(bool(torch.isfinite(value).all()) for value in held if value.is_floating_point())

    def snapshot(self) -> dict[str, Any]:
        """Return all data that a resume needs besides the RunState, copied to the host."""
        rate = self.hooks.learning_rate
        others = {"num_ranks": self.num_ranks, "ranks": self.others()} if self.num_ranks > 1 else {}
        return {
            **others,
            "model": {
                (f"{prefix}.{name}" if prefix else name): value
                for prefix, model in self.models.items()
                for name, value in _tensors(model).items()
            },
            "optimizers": [copy_to_host(optimizer.state_dict()) for optimizer in self.hooks.optimizers],
            "stateful": {name: copy_to_host(part.state_dict()) for name, part in self.stateful.items()},
            "rng": random_states(),
            "lr_reference": rate.reference,
            "position": self.snapshot_position(),
        }

    def snapshot_position(self) -> dict[str, Any]:
        """Return the place in the data, copied to the host."""
        position = self.position
        return {
            "epoch": position.epoch,
            "batches": position.batches,
            "random": None if position.random is None else copy_to_host(position.random),
            "state": None if position.state is None else copy_to_host(position.state),
        }

    def load(self, path: Path) -> dict[str, Any]:
        """Return the checkpoint at `path`. Raises CheckpointDamagedError unless `restore` can use it."""
        payload = load_checkpoint(path)
        if reason := self._misfit(payload):
            raise CheckpointDamagedError(f"{path.name} cannot be resumed: {reason}")
        return payload

    def load_newest(self, directory: Path) -> dict[str, Any]:
        """Return the newest checkpoint in `directory` that fits. Raises UserError if there is none."""
        reasons: list[str] = []
        for path in reversed(list_checkpoints(directory)):
            try:
                return self.load(path)
            except CheckpointDamagedError as error:
                reasons.append(str(error))
        reason = reasons[0] if reasons else "it has none"
        raise UserError(f"no usable checkpoint in {directory}: {reason}; begin a new run under another name")

    def _misfit(self, payload: Mapping[str, Any]) -> str:
        """Return why a checkpoint cannot be restored; an empty string if it can."""
        lacking = [key for key in ("step", "state", "books", "good", "optimizers", "stateful", "position", "rng")
                   if key not in payload]  # fmt: skip
        if lacking:
            return f"it lacks {', '.join(lacking)}"
        try:
            state_from_text(payload["state"])
            from_text(payload["books"])
        except WireError as error:
            return str(error)
        for prefix, model in self.models.items():
            held = _weights_for(model, prefix, payload["model"])
            for name, value in model.state_dict().items():
                if not isinstance(value, Tensor):
                    continue
                full = f"{prefix}.{name}" if prefix else name
                if name not in held:
                    return f"it lacks {full!r}, which the network has"
                if held[name].shape != value.shape:
                    return f"{full!r} is {tuple(held[name].shape)} there and {tuple(value.shape)} in the network"
        count = len(payload["optimizers"])
        if count != len(self.hooks.optimizers):
            return f"it is of {count} optimizers, and the training has {len(self.hooks.optimizers)}"
        pairs = zip(self.hooks.optimizers, payload["optimizers"], strict=True)
        return next(filter(None, (_misfit_of(optimizer, kept["param_groups"]) for optimizer, kept in pairs)), "")

    def restore(self, payload: Mapping[str, Any], state: RunState) -> None:
        """Restore the result of `snapshot` but the position: weights, optimizers, schedule and generators."""
        for prefix, model in self.models.items():
            model.load_state_dict(_weights_for(model, prefix, payload["model"]), strict=False)
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


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    held = cast(Mapping[str, Any], model.state_dict())
    return {name: copy_to_host(value) for name, value in held.items() if isinstance(value, Tensor)}


def _weights_for(model: nn.Module, prefix: str, held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those of the `held` weights that are of `model`, the network named `prefix`, by its own names.

    The names of a network in `torch.compile` or in data parallelism begin with a wrapper's; it may be in none there.
    """
    begin = f"{prefix}." if prefix else ""
    own = {name.removeprefix(begin): value for name, value in held.items() if name.startswith(begin)}
    here, there = _wrappers_in(model.state_dict()), _wrappers_in(own)
    return {here + name.removeprefix(there): value for name, value in own.items()}


def _wrappers_in(names: Collection[str], begin: str = "") -> str:
    """Return the wrappers with which all `names` begin after `begin`, that included; 'module._orig_mod.' for two."""
    for wrapper in WRAPPERS:
        longer = f"{begin}{wrapper}."
        if names and all(name.startswith(longer) for name in names):
            return _wrappers_in(names, longer)
    return begin


def _misfit_of(optimizer: torch.optim.Optimizer, held: Sequence[Mapping[str, Any]]) -> str:
    """Return why `optimizer` cannot take the `held` parameter groups of a checkpoint; an empty string if it can."""
    groups = optimizer.param_groups
    sizes, own_sizes = ([len(group["params"]) for group in some] for some in (held, groups))
    if sizes != own_sizes:
        return f"its optimizer's groups have {_listed(sizes)} parameters, and the training's {_listed(own_sizes)}"
    if lacking := _options_lacking(optimizer, held):
        return f"it is of another optimizer than {type(optimizer).__name__}: it lacks {', '.join(lacking)}"
    return ""


def _options_lacking(optimizer: torch.optim.Optimizer, held: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the options of `optimizer` that it would not have with the `held` groups. Torch adds what is new in it."""
    trial = object.__new__(type(optimizer))
    with suppress(Exception):  # one of another origin may not be made like this
        trial.__setstate__({"defaults": {}, "state": {}, "param_groups": [{**group, "params": []} for group in held]})
        return sorted(set(optimizer.defaults).difference(*trial.param_groups))
    return []


def _listed(numbers: Iterable[int]) -> str:
    return " and ".join(map(str, numbers))


def random_states() -> dict[str, Any]:
    """Return the states of the generators of Python, NumPy and torch, in types that a checkpoint can hold."""
    return {
        "cpu": torch.get_rng_state(),
        "cuda": [state.clone() for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_initialized() else [],
        **host_random_states(),
    }


def set_random_states(states: Mapping[str, Any]) -> None:
    """Set the generators to `states`, the result of `random_states`."""
    torch.set_rng_state(states["cpu"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    set_host_random_states(states)


def highest_rate(optimizers: Sequence[torch.optim.Optimizer]) -> float:
    """Return the highest learning rate that the optimizers were built with; 0 for none."""
    rates = [
        float(group.get("initial_lr", group.get("lr", 0.0)))
        for optimizer in optimizers
        for group in optimizer.param_groups
    ]
    return max((rate for rate in rates if math.isfinite(rate)), default=0.0)

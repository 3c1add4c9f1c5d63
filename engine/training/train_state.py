"""The live side of a run: network, optimizer, random state and place in the data; how they are saved and restored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from engine.config.tree import RunConfig
from engine.protocol import events as e
from engine.protocol.events import Event
from engine.protocol.state import RunState
from engine.task import DataGoneError, Rejection, Samples, Splits, Task
from engine.training.checkpoint.file import copy_to_host
from engine.training.data.batch import Batch, Position
from engine.training.data.stream import BatchStream
from engine.training.finite_check import norms_of_state
from engine.training.grad_clip import ZClip
from engine.training.loss_sum import Objective
from engine.training.optimizer import build_optimizer, forget_moments, load_moments, moments_of
from engine.training.step import TrainStep

AMP_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def amp_dtype(config: RunConfig) -> torch.dtype | None:
    """The reduced precision asked for, or None for full precision."""
    return AMP_DTYPES[config.training.amp_dtype] if config.training.mixed_precision else None


@dataclass(frozen=True, slots=True)
class DrawnBatch:
    """What was drawn for one step, on the device; no batches where all that an epoch had left was excluded."""

    batches: list[Batch]
    rejections: tuple[Rejection, ...]
    ends_epoch: bool


class TrainState:
    """Owns everything that a step changes. One thread, the engine's, touches it."""

    def __init__(self, task: Task, config: RunConfig, model: nn.Module, splits: Splits, state: RunState):
        self.task = task
        self.config = config
        self.model = model
        self.num_train = len(splits.train)
        self.position = Position()
        self.stream = _stream(splits.train, config, state.batch_size)
        self.validation = _stream(splits.val, config, config.validation.batch_size)
        self._owed: tuple[Rejection, ...] = ()
        self.train_step = TrainStep(
            Objective(task, config),
            model,
            self._optimizer(state.optimizer),
            amp=amp_dtype(config),
            forward=cast(nn.Module, torch.compile(model)) if config.model.compile else None,
        )

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The modules that the parameters divide into, by name."""
        return dict(self.model.named_children())

    def _optimizer(self, name: str) -> torch.optim.Adam:
        switchable = self.task.spec.component_names
        return build_optimizer(name, self.parts, self.config.training.weight_decay, switchable)

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return self.train_step.device

    @property
    def progress(self) -> float:
        """Epochs done, fractional."""
        return self.position.epoch + self.position.index / self.num_train

    def steps_per_epoch(self, state: RunState) -> int:
        """Updates in a whole epoch at the present batch size and accumulation."""
        return math.ceil(math.ceil(self.num_train / state.batch_size) / state.accumulation)

    def total_steps(self, state: RunState) -> int:
        """The run's length in steps, as far as it can be told now."""
        left = self.config.training.epochs - self.progress
        total = state.step + math.ceil(max(left, 0.0) * self.steps_per_epoch(state) - 1e-6)
        limit = self.config.training.max_steps
        return min(total, limit) if limit else total

    @property
    def epoch(self) -> int:
        """The epoch (from 0) that the last step belongs to; between two epochs the one that ended."""
        return max(self.position.epoch - (self.position.index == 0), 0)

    def draw(
        self, accumulation: int, *, excluded: Set[str] = frozenset(), give_up: Callable[[], bool] = lambda: False
    ) -> DrawnBatch | None:
        """The next `accumulation` batches, fewer where the epoch ends; one with an excluded sample is passed over.

        Moves `position`. The batches, the generators and the rest of the order do not depend on what is passed over.
        None where `give_up` became true while a batch was waited for; then, and where DataGoneError is raised, nothing
        was drawn.
        """
        start, batches, ends_epoch = self.position, list[Batch](), False
        try:
            while len(batches) < accumulation and not ends_epoch:
                if not self.stream.wait(give_up):
                    return self._put_back(start)
                batch = self.stream.next()
                self._owed += batch.rejections
                if excluded.isdisjoint(batch.sample_ids):
                    batches.append(batch.to(self.device))
                self.position, ends_epoch = batch.after, batch.ends_epoch
        except DataGoneError:
            self._put_back(start, again=True)
            raise
        rejections, self._owed = self._owed, ()
        return DrawnBatch(batches, rejections, ends_epoch)

    def _put_back(self, start: Position, *, again: bool = False) -> None:
        """Be at `start` again; `again` has what lies ahead read once more, although nothing was drawn."""
        if again or self.position != start:
            self.position = start
            self.stream.reseat(start, self.stream.batch_size)

    def carry_out(self, event: Event, state: RunState) -> None:
        """Let a steering event take effect on tensors and data; `state` is the one before it."""
        match event:
            case e.PhasePromoted(enabled=names):
                self._freshen(set(names) - state.refinements)
            case e.RefinementEnabled(name=name):
                self._freshen({name} - state.refinements)
            case e.OptimizerSet(after=name):
                self._switch_optimizer(name)
            case e.BatchSizeSet(after=batch_size):
                self.stream.reseat(self.position, batch_size)
            case _:
                pass

    def _freshen(self, names: set[str]) -> None:
        parts = self.parts
        for name in names & set(parts):
            forget_moments(self.train_step.optimizer, parts[name])

    def _switch_optimizer(self, name: str) -> None:
        moments = moments_of(self.train_step.optimizer, self.model)
        optimizer = self._optimizer(name)
        load_moments(optimizer, self.model, moments)
        self.train_step.optimizer = optimizer

    def is_finite(self) -> bool:
        """Whether every weight and every moment is finite; waits for the device."""
        parts = {name: list(module.parameters()) for name, module in self.parts.items()}
        _, norms = norms_of_state(parts, self.train_step.optimizer)
        return bool(torch.isfinite(norms).all())

    def snapshot(self) -> dict[str, Any]:
        """Everything a resume needs beside the RunState, copied to the host."""
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return {
            "model": copy_to_host(self.model.state_dict()),
            "moments": copy_to_host(moments_of(self.train_step.optimizer, self.model)),
            "scaler": self.train_step.scaler.state_dict(),
            "zclip": copy_to_host(self.train_step.zclip.statistics),
            "rng": {"cpu": torch.get_rng_state(), "cuda": cuda},
            "position": [self.position.epoch, self.position.index],
        }

    def restore(self, payload: Mapping[str, Any], state: RunState) -> None:
        """Become what `snapshot` saved; optimizer kind and batch size are those of `state`."""
        self.model.load_state_dict(payload["model"])
        self.train_step.optimizer = self._optimizer(state.optimizer)
        load_moments(self.train_step.optimizer, self.model, payload["moments"])
        self.train_step.scaler.load_state_dict(payload["scaler"]) if payload["scaler"] else None
        self.train_step.zclip = ZClip(self.device, payload.get("zclip"))
        torch.set_rng_state(payload["rng"]["cpu"])
        if payload["rng"]["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(payload["rng"]["cuda"], self.device)
        self.position = Position(*payload["position"])
        self.stream.reseat(self.position, state.batch_size)

    def close(self) -> None:
        """End the data threads or processes."""
        self.stream.close()
        self.validation.close()


def _stream(samples: Samples, config: RunConfig, batch_size: int) -> BatchStream:
    data = config.data
    return BatchStream(
        samples, batch_size=batch_size, num_workers=data.num_workers, timeout_seconds=data.timeout_seconds
    )


def inherit_weights(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> tuple[int, list[str], list[str]]:
    """Copy what fits by name and shape; returns the number of tensors copied, the missing ones and the left over."""
    own = model.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(fitting, strict=False)
    return len(fitting), sorted(set(own) - set(fitting)), sorted(set(weights) - set(fitting))

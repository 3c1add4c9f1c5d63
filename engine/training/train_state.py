"""The live state of a run: network, optimizer, random state and data position, with save and restore."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from engine.config.tree import RunConfig
from engine.protocol import events as e
from engine.protocol.events import Event
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.task import DataGoneError, Rejection, Samples, Splits, Task
from engine.training.checkpoint.content import load_resumable
from engine.training.checkpoint.random_states import host_random_states, set_host_random_states
from engine.training.checkpoint.values import copy_to_host
from engine.training.data.batch import Batch, Position
from engine.training.data.spans import Shard
from engine.training.data.stream import BatchStream
from engine.training.device import PartTimer
from engine.training.gradients.finite_check import norms_of_state
from engine.training.gradients.grad_clip import ZClip
from engine.training.loss_sum import Objective
from engine.training.optimizer import build_optimizer, forget_moments, load_moments, moments_of
from engine.training.step import TrainStep

AMP_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def amp_dtype(config: RunConfig) -> torch.dtype | None:
    """Return the configured reduced precision, or `None` for full precision."""
    return AMP_DTYPES[config.training.amp_dtype] if config.training.mixed_precision else None


@record
class DrawnBatch:
    """Batches drawn for one step, on the device; empty if all remaining ones of the epoch were excluded.

    `transfer` has the time of the copies to the device, `None` if there were none.
    """

    batches: list[Batch]
    rejections: tuple[Rejection, ...]
    ends_epoch: bool
    transfer: PartTimer | None = None


class TrainState:
    """Owns all state that a step changes. Only the engine's thread may use it.

    With a `shard`, this process reads its part of the data only; its position remains that of all ranks.
    """

    def __init__(
        self,
        task: Task,
        config: RunConfig,
        model: nn.Module,
        splits: Splits,
        state: RunState,
        shard: Shard | None = None,
    ):
        self.task = task
        self.config = config
        self.model = model
        self.num_train, self.num_val = len(splits.train), len(splits.val)
        self.position = Position()
        by_batch = None if shard is None else replace(shard, by_batch=True)
        self.stream = _stream(splits.train, config, state.batch_size, shard)
        self.validation = _stream(splits.val, config, config.validation.batch_size, by_batch)
        self._owed: tuple[Rejection, ...] = ()
        self.train_step = TrainStep(
            Objective(task, config),
            model,
            self._optimizer(state.optimizer),
            amp=amp_dtype(config),
            forward=cast(nn.Module, torch.compile(model)) if config.model.compile else None,
        )
        self.request_histogram = self.train_step.histograms.request

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The modules that divide the parameters, by name."""
        return dict(self.model.named_children())

    def _optimizer(self, name: str) -> torch.optim.Adam:
        switchable = self.task.spec.component_names
        return build_optimizer(name, self.parts, self.config.training.weight_decay, switchable)

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return self.train_step.device

    @property
    def progress(self) -> float:
        """Completed epochs, fractional."""
        return self.position.epoch + self.position.index / self.num_train

    def steps_per_epoch(self, state: RunState) -> int:
        """Return the updates per epoch at the current batch size and accumulation."""
        return math.ceil(math.ceil(self.num_train / state.batch_size) / state.accumulation)

    def total_steps(self, state: RunState) -> int:
        """Return the expected length of the run in steps."""
        left = self.config.training.epochs - self.progress
        total = state.step + math.ceil(max(left, 0.0) * self.steps_per_epoch(state) - 1e-6)
        limit = self.config.training.max_steps
        return min(total, limit) if limit else total

    @property
    def epoch(self) -> int:
        """The epoch (from 0) of the last step; between two epochs the one that ended."""
        return max(self.position.epoch - (self.position.index == 0), 0)

    def draw(
        self, accumulation: int, *, excluded: Set[str] = frozenset(), give_up: Callable[[], bool] = lambda: False
    ) -> DrawnBatch | None:
        """Draw the next `accumulation` batches, or fewer at the end of an epoch; skip those with an excluded sample.

        Advances `position`. Skipped batches do not influence the batches, the generators or the order of the rest.
        Return `None` if `give_up` returned True while waiting. In this case, and if an error is raised, nothing was
        drawn. After DataGoneError the data can be drawn again.
        """
        start, batches, ends_epoch = self.position, list[Batch](), False
        timer = None if self.device.type == "cpu" else PartTimer(self.device)
        try:
            while len(batches) < accumulation and not ends_epoch:
                if not self.stream.wait(give_up):
                    return self.put_back(start)
                batch = self.stream.next()
                self._owed += batch.rejections
                if not self.is_excluded(batch, excluded):
                    batches.append(self._on_device(batch, timer))
                self.position, ends_epoch = batch.after, batch.ends_epoch
        except DataGoneError:
            self.put_back(start, again=True)
            raise
        except Exception:  # a checkpoint that follows must not leave out the batches before it
            self.position = start
            raise
        rejections, self._owed = self._owed, ()
        return DrawnBatch(batches, rejections, ends_epoch, timer)

    def _on_device(self, batch: Batch, timer: PartTimer | None) -> Batch:
        if timer is None:
            return batch.to(self.device)
        timer.mark("")
        moved = batch.to(self.device)
        timer.mark("transfer")
        return moved

    def is_excluded(self, batch: Batch, excluded: Set[str]) -> bool:
        """Return whether a batch holds an excluded sample."""
        return not excluded.isdisjoint(batch.sample_ids)

    def put_back(self, start: Position, *, again: bool = False) -> None:
        """Restore the position `start`; with `again`, read the data ahead again even if nothing was drawn."""
        if again or self.position != start:
            self.position = start
            self.stream.reseat(start, self.stream.batch_size)

    def carry_out(self, event: Event, state: RunState) -> None:
        """Apply a steering event to tensors and data; `state` is the one before the event."""
        match event:
            case e.PhasePromoted(enabled=names):
                _freshen(self, set(names) - state.refinements)
            case e.RefinementEnabled(name=name):
                _freshen(self, {name} - state.refinements)
            case e.OptimizerSet(after=name):
                self._switch_optimizer(name)
            case e.BatchSizeSet(after=batch_size):
                self.stream.reseat(self.position, batch_size)
            case _:
                pass

    def _switch_optimizer(self, name: str) -> None:
        moments = moments_of(self.train_step.optimizer, self.model)
        optimizer = self._optimizer(name)
        load_moments(optimizer, self.model, moments)
        self.train_step.optimizer = optimizer

    def is_finite(self) -> bool:
        """Return whether every trained weight, average and moment is finite. Waits for the device."""
        parts = {name: [p for p in module.parameters() if p.requires_grad] for name, module in self.parts.items()}
        _, norms = norms_of_state(parts, self.train_step.optimizer)
        return bool(torch.isfinite(norms).all()) and self.train_step.average.is_finite()

    def snapshot(self) -> dict[str, Any]:
        """Return all data that a resume needs besides the RunState, copied to the host."""
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return {
            "model": copy_to_host(self.model.state_dict()),
            "moments": copy_to_host(moments_of(self.train_step.optimizer, self.model)),
            "scaler": self.train_step.scaler.state_dict(),
            "zclip": copy_to_host(self.train_step.zclip.statistics),
            "rng": {"cpu": torch.get_rng_state(), "cuda": cuda, **host_random_states()},
            "position": [self.position.epoch, self.position.index],
            **copy_to_host(self.train_step.average.state_dict()),
        }

    def load(self, path: Path) -> dict[str, Any]:
        """Return the checkpoint at `path`. Raises CheckpointDamagedError unless this run can resume it."""
        return load_resumable(path, self.config)

    def restore(self, payload: Mapping[str, Any], state: RunState) -> None:
        """Restore the result of `snapshot`; optimizer and batch size come from `state`."""
        self.model.load_state_dict(payload["model"])
        self.train_step.optimizer = self._optimizer(state.optimizer)
        load_moments(self.train_step.optimizer, self.model, payload["moments"])
        self.train_step.scaler.load_state_dict(payload["scaler"]) if payload["scaler"] else None
        self.train_step.zclip = ZClip(self.device, payload.get("zclip"))
        self.train_step.average.load(payload)
        torch.set_rng_state(payload["rng"]["cpu"])
        if payload["rng"]["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(payload["rng"]["cuda"], self.device)
        if "python" in payload["rng"]:  # checkpoints of earlier versions lack it
            set_host_random_states(payload["rng"])
        self.position = Position(*payload["position"])
        self.stream.reseat(self.position, state.batch_size)

    def close(self) -> None:
        """End the data threads or processes."""
        self.stream.close()
        self.validation.close()


def _freshen(train_state: TrainState, names: set[str]) -> None:
    """Forget the moments of the components `names`, which are enabled now."""
    parts = train_state.parts
    for name in names & set(parts):
        forget_moments(train_state.train_step.optimizer, parts[name])
    if train_state.train_step.average.is_begun:
        train_state.train_step.average.begin(names)


def _stream(samples: Samples, config: RunConfig, batch_size: int, shard: Shard | None) -> BatchStream:
    data = config.data
    return BatchStream(
        samples,
        batch_size=batch_size,
        num_workers=data.num_workers,
        timeout_seconds=data.timeout_seconds,
        shard=shard,
    )

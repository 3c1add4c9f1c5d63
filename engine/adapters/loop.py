"""The cockpit in an existing PyTorch loop: five lines, and nothing of the user's is replaced.

with Cockpit(model, optimizer, run="my-run") as cockpit:
    for epoch in cockpit.epochs(num_epochs):
        for x, y in cockpit.steps(loader):
            cockpit.loss({"ce": cross_entropy(model(x), y)}).backward()
            optimizer.step()
            optimizer.zero_grad()
"""

from __future__ import annotations

import atexit
import inspect
import math
import os
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, TypeVar

import torch
from torch import Tensor

from engine.adapters.capabilities import LOOP
from engine.adapters.hooks import patches
from engine.adapters.hooks.gradient_reader import ParameterNames
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks, Update
from engine.adapters.replays.fork_replay import StepReplay
from engine.adapters.run.attached_run import AttachedRun, StepReading, TrainingStopped
from engine.adapters.run.attached_state import (
    AttachedState,
    LoaderPosition,
    Stateful,
    highest_rate,
    random_states,
    set_random_states,
)
from engine.adapters.run.batches import by_name, count_samples, length_of, on_host
from engine.adapters.run.knobs import KnobHandle, KnobValue
from engine.adapters.run.run_files import program_of
from engine.adapters.run.settings import NoValidation, attached_config, run_directory
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol.state import Limits, RunState
from engine.protocol.task_spec import Phase, TaskSpec
from engine.protocol.wire import state_from_text
from engine.training.checkpoint.file import CheckpointDamagedError, list_checkpoints

Batch = TypeVar("Batch")
_Parts = Any
"""A network, several, or several by name; likewise optimizers. `Any`: pyright cannot tell them apart at run time."""


class Cockpit:
    """A training of one's own, recorded and steered like a run of the engine.

    `model` and `optimizer` may each be one object, a sequence, or a mapping by name. `run` is the name of the run, made
    from the program and the time if empty; `config` is recorded and shown. `scheduler` and `scaler` are saved and
    restored with the weights. With `resume` the run goes on from its newest checkpoint. `score` names the metric of
    `validated` by which the best checkpoint is chosen; the first one if empty. `checkpoint_every` is the number of
    steps between checkpoints, 0 for one per epoch. With `guardian`, repeated non-finite steps return the run to its
    last good checkpoint with a lower learning rate.

    Raises UserError if the run exists or cannot be resumed, and TypeError for an optimizer that is not torch's.
    """

    def __init__(  # noqa: PLR0913 - the user's interface: all but two have a default
        self,
        model: _Parts,
        optimizer: _Parts,
        *,
        run: str = "",
        config: Mapping[str, Any] | None = None,
        scheduler: Stateful | None = None,
        scaler: Stateful | None = None,
        runs_dir: str | Path = "",
        resume: bool = False,
        score: str = "",
        lower_is_better: bool = False,
        checkpoint_every: int = 0,
        guardian: bool = False,
        max_steps: int = 0,
    ) -> None:
        models = by_name(model)
        names = ParameterNames(models)
        self._hooks = OptimizerHooks(names, self._detach)
        optimizers = list(by_name(optimizer).values())
        for one in optimizers:
            self._hooks.watch(one)
        stateful = {"scheduler": scheduler, "scaler": scaler}
        self._live = AttachedState(
            models, self._hooks, {name: part for name, part in stateful.items() if part is not None}, total=max_steps
        )
        self._checkpoint_every = checkpoint_every
        settings = attached_config(checkpoint_every)
        directory = run_directory(runs_dir, run, resume=resume)
        self._run = AttachedRun(directory, LOOP, settings, self._live, NoValidation())
        self._replay = StepReplay(models)
        self._losses: dict[str, list[Tensor]] = {}
        self._logged: dict[str, float | Tensor] = {}
        self._weight_norms: dict[str, float] = {}
        self._weights_due = 0.0
        self._entered = False
        self._is_replay_due = False
        self._is_settled = False
        self._last_end = time.perf_counter()
        self._wait = 0.0
        self._samples = 0
        self._resumed_batches = 0
        rate = highest_rate(optimizers)
        state = RunState(
            run=directory.name,
            spec=TaskSpec(
                name=Path(program_of()).stem,
                score=score,
                lower_is_better=lower_is_better,
                phases=(Phase("training"),),
                unsupported=LOOP.unsupported(),
            ),
            gradient_clip=math.inf,
            optimizer=type(optimizers[0]).__name__.lower(),
            guardian=guardian,
            limits=Limits(lr_max=max(10 * rate, 1e-2), lr_configured=rate, max_gradient_clip=math.inf),
        )
        self._open(state, config or {}, resume=resume)

    def _open(self, state: RunState, config: Mapping[str, Any], *, resume: bool) -> None:
        payload = self._newest() if resume else None
        if payload is not None:
            state = state_from_text(payload["state"], state.spec)
        patches.install(self._hooks)
        described = {"adapter": LOOP.name, "program": program_of(), "config": config}
        try:
            self._run.open(state, described, payload)
        except BaseException:
            patches.remove(self._hooks)
            self._hooks.remove()
            raise
        if payload is not None:
            self._resumed_batches = self._live.position.batches
        else:
            self._run.checkpoint("start")
        atexit.register(self._at_exit)
        where = self._run.directory
        sys.stderr.write(f"cockpit: recording {where}; from another terminal: training-cockpit status {where}\n")

    def _newest(self) -> Mapping[str, Any]:
        """Return the newest checkpoint that fits. Raises UserError if there is none."""
        directory = self._run.directory / CHECKPOINTS
        reason = "it has none"
        for path in reversed(list_checkpoints(directory)):
            try:
                return self._live.load(path)
            except CheckpointDamagedError as error:
                reason = str(error)
        raise UserError(f"no usable checkpoint in {directory}: {reason}; begin a new run under another name")

    # --- the loop -------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The current epoch (from 0): after a resume, the one that was interrupted."""
        return self._live.position.epoch

    @property
    def step(self) -> int:
        """The number of optimizer steps done."""
        return self._run.step

    @property
    def directory(self) -> Path:
        """The directory of the run."""
        return self._run.directory

    def epochs(self, num_epochs: int) -> Iterator[int]:
        """Yield the epochs that are left of `num_epochs`: all of them, or after a resume the rest."""
        for epoch in range(self.epoch, num_epochs):
            if self._stopped:
                return
            yield epoch
            if self.epoch == epoch:  # an epoch without steps()
                self._live.position = LoaderPosition(epoch + 1)

    def steps(self, loader: Iterable[Batch]) -> Generator[Batch]:
        """Yield the batches of one epoch. Commands are carried out between two steps.

        A stop ends `with Cockpit(...)`; without it, this and all later epochs end at once. After a resume in mid-epoch
        the loader is brought to the same place: by its `load_state_dict`, or by reading the batches before it.
        """
        if self._run.is_over:
            yield from loader if self._is_detached else ()
            return
        batches = self._begin_epoch(loader)
        started, before = time.perf_counter(), self.step
        while True:
            asked_at = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                break
            now = time.perf_counter()
            self._wait += now - asked_at
            self._samples += count_samples(batch)
            self._live.position.batches += 1
            self._note_loader(loader)
            self._replay.keep(batch)
            yield batch
            if self._run.is_over:
                if self._is_detached:
                    yield from batches
                return
            goes_on = self._after_iteration()
            if self._is_replay_due:
                self._is_replay_due = False
                if (running := self._replay.begin(self.step)) is None:
                    self._rehearse()
                    loop = inspect.currentframe()
                    yield from self._replay.batches(loop and loop.f_back, self._hooks.update.losses)
                else:
                    self._run.await_replay(running)
            self._forget_step()
            if not goes_on:
                return
        self._end_epoch(time.perf_counter() - started, before)

    def _begin_epoch(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """Open the loader at the place of the current epoch."""
        position = self._live.position
        position.length = length_of(loader)
        skip, self._resumed_batches = self._resumed_batches, 0
        if skip and position.state is not None and isinstance(loader, Stateful):
            loader.load_state_dict(dict(position.state))
            return iter(loader)
        if skip and position.random is not None:
            now = random_states()
            set_random_states(position.random)
            batches = iter(loader)
            for _ in range(skip):
                next(batches, None)
            set_random_states(now)
            return batches
        position.batches = 0
        position.random = random_states()
        return iter(loader)

    def _note_loader(self, loader: object) -> None:
        """Keep the state of a loader that has one, if a checkpoint may need it before the next batch."""
        if isinstance(loader, Stateful):
            self._live.position.state = loader.state_dict()

    def _after_iteration(self) -> bool:
        """Record what the iteration did, and process commands. Return whether the loop goes on."""
        try:
            update = self._hooks.take() if self._hooks.update.count else None
            if update is None:
                return self._at_boundary(is_between=False)
            reading = self._reading(update)
            is_skipped = self._run.add(reading)
            self._is_replay_due = is_skipped and self._replay.can_fork and self._run.wants_replay(update)
            self._is_settled = True
            if self._checkpoint_every and self.step % self._checkpoint_every == 0:
                self._run.checkpoint("step")
            return self._at_boundary(is_between=True)
        except TrainingStopped:
            raise
        except Exception as error:  # a fault of the cockpit must not end a foreign training
            self._detach(error)
            return True

    def _forget_step(self) -> None:
        if self._is_settled:
            self._replay.forget()
            self._is_settled = False

    def _rehearse(self) -> None:
        """Make this copy of the process one that only repeats a step: it records nothing and updates nothing."""
        self._hooks.rehearse = self._replay.note_gradients
        self._run.is_over = True

    def _at_boundary(self, *, is_between: bool) -> bool:
        """Process commands where weights and gradients belong together: not between two accumulated batches."""
        self._last_end = time.perf_counter()
        if not is_between:
            return True
        try:
            self._run.boundary()
        except TrainingStopped:
            self._run.end("stopped")
            self._close()
            if self._entered:
                raise
            return False
        self._last_end = time.perf_counter()
        return True

    def _reading(self, update: Update) -> StepReading:
        now = time.perf_counter()
        losses: dict[str, float | Tensor] = {
            name: values[0] if len(values) == 1 else torch.stack(values).mean() for name, values in self._losses.items()
        }
        if not losses and update.losses:
            losses = {"": sum(update.losses[1:], update.losses[0])}
        reading = StepReading(
            update,
            {name: on_host(value) for name, value in losses.items()},
            seconds=max(now - self._last_end, 1e-9),
            wait=self._wait,
            samples=self._samples,
            logged={name: on_host(value) for name, value in self._logged.items()},
            weight_norms=self._norms_of_weights(now),
            terms=self._run.recorder.state.loss_weights,
        )
        self._losses, self._logged = {}, {}
        self._wait, self._samples = 0.0, 0
        return reading

    def _norms_of_weights(self, now: float) -> dict[str, float]:
        """Return the norms of the weights by part: the last ones, unless new ones cost little at this rate of steps."""
        if now >= self._weights_due:
            self._weight_norms = self._hooks.weight_norms()
            self._weights_due = time.perf_counter() + 200 * (time.perf_counter() - now)
        return self._weight_norms

    def _end_epoch(self, seconds: float, first_step: int) -> None:
        position = self._live.position
        try:
            done = position.epoch
            self._live.position = LoaderPosition(done + 1, length=position.length)
            self._run.end_epoch(done, seconds)
            if self.step > first_step:
                self._run.checkpoint("epoch")
        except Exception as error:
            self._detach(error)

    # --- what the loop says ---------------------------------------------------------------

    def loss(self, terms: Mapping[str, Tensor] | Tensor) -> Tensor:
        """Return the weighted sum of the loss `terms`, scalars by name, on which to call `backward`.

        The weights are 1 until they are set from the screen. A term that is not finite is named.
        """
        named = terms if isinstance(terms, Mapping) else {"loss": terms}
        if not named:
            raise UserError("cockpit.loss() needs at least one term, such as {'ce': loss}")
        try:
            return self._weighted(named)
        except Exception as error:
            self._detach(error)
            return sum(list(named.values())[1:], next(iter(named.values())))

    def _weighted(self, named: Mapping[str, Tensor]) -> Tensor:
        if self._replay.is_rehearsal:
            self._replay.note_terms(named)
        total: Tensor | None = None
        weights: Mapping[str, float] = MappingProxyType({})
        if not self._run.is_over:
            if not self._run.recorder.state.loss_weights.keys() >= named.keys():
                self._run.describe_terms(tuple(named))
            weights = self._run.recorder.state.loss_weights
        for name, value in named.items():
            self._losses.setdefault(name, []).append(value.detach())
            weight = weights.get(name, 1.0)
            if weight == 0.0:
                continue
            part = value if weight == 1.0 else value * weight
            total = part if total is None else total + part
        if total is None:
            total = sum((value * 0.0 for value in list(named.values())[1:]), next(iter(named.values())) * 0.0)
        return total

    def knob(
        self,
        name: str,
        value: KnobValue,
        low: float | None = None,
        high: float | None = None,
        *,
        choices: Sequence[str] = (),
    ) -> KnobHandle:
        """Return a live value: call it to read it. It can be set from the screen, within `low`..`high` or `choices`.

        A bool makes a toggle. A resumed run keeps the value that was set. Raises UserError for bounds that exclude
        `value`.
        """
        handle = KnobHandle(name, value, self._run)
        handle.declare(low, high, tuple(choices))
        return handle

    def log(self, **numbers: float | Tensor) -> None:
        """Record numbers with the current step, as `log/NAME`."""
        self._logged.update(numbers)

    def validated(self, *, loss: float | None = None, **metrics: float | Tensor) -> None:
        """Record the result of a validation, as `val/NAME`. The best score makes the best checkpoint.

        The score is `score`, or else the first metric.
        """
        if self._run.is_over:
            return
        try:
            measured = None if loss is None else float(loss)
            numbers = {name: float(value) for name, value in metrics.items()}
            if not numbers and measured is not None:
                numbers = {"loss": measured}
            is_best = self._run.validated(numbers, measured, time.perf_counter() - self._last_end)
            if is_best:
                self._run.checkpoint("best", best=True)
        except Exception as error:
            self._detach(error)

    # --- the end --------------------------------------------------------------------------

    @property
    def _is_detached(self) -> bool:
        return self._run.is_over and not self._stopped

    _stopped = False

    def __enter__(self) -> Cockpit:
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, TrainingStopped):
            self._close()
            return True
        if error is None:
            self.close()
        else:
            self._failed(error)
        return False

    def close(self) -> None:
        """End the run as complete, with a last checkpoint."""
        self._run.end("complete")
        self._close()

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._run.end("interrupted", checkpoint=not self._hooks.in_step)
        else:
            self._run.fail(error)
        self._close()

    def _close(self) -> None:
        self._stopped = True
        patches.remove(self._hooks)
        self._hooks.remove()
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        self._run.end("ended with the program", checkpoint=not self._hooks.in_step)
        self._close()

    def _detach(self, error: Exception) -> None:
        if os.environ.get("TRAINING_COCKPIT_RAISE"):
            raise error
        patches.remove(self._hooks)
        self._run.detach(error)

"""The cockpit in an existing PyTorch loop: five lines, and nothing of the user's is replaced.

with Cockpit(model, optimizer, run="my-run") as cockpit:
    for epoch in cockpit.epochs(num_epochs):
        for x, y in cockpit.steps(loader):
            cockpit.loss({"ce": cross_entropy(model(x), y)}).backward()
            optimizer.step()
            optimizer.zero_grad()
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from threading import get_ident
from typing import Any, TypeVar

from torch import Tensor

from engine.adapters.hooks.survive import say, untraced
from engine.adapters.loop_run import LoopRun
from engine.adapters.ranks.rank_steps import note_step
from engine.adapters.replays.pending_replays import Repetition
from engine.adapters.run.attached_run import AttachedRun, TrainingStopped
from engine.adapters.run.batches import on_host
from engine.adapters.run.knobs import KnobHandle, Value
from engine.adapters.run.loop_batches import EpochLoop
from engine.adapters.run.state.attached_state import LoaderPosition
from engine.errors import UserError
from engine.training.checkpoint.values import is_equal

Batch = TypeVar("Batch")


class RecordedLoop(LoopRun):
    """Records what a loop does: its steps and epochs, with checkpoints."""

    _began = (0.0, 0)
    """When the newest epoch began, and after how many steps."""
    _at_epoch_end: Mapping[str, Any] | None = None
    """What the program may change before the next epoch, as it was in the checkpoint at the end of the last one."""
    _awaiting: Sequence[tuple[Mapping[str, float], float | None, float]] = ()
    """Validations of the weights after the newest update, whose step is not recorded yet."""

    @property
    def _recorded(self) -> AttachedRun | None:
        """The run, if this process records it and has not ended it."""
        run = self._run
        return run if isinstance(run, AttachedRun) and not run.is_over else None

    def _end_step(self) -> None:
        """Record an update that no further batch has followed."""
        if not self._hooks.update.count or self._hooks.in_step or self._is_over or self._replay.is_rehearsal:
            return
        if not self._batches.is_used:
            say("no batch came from cockpit.steps(loader): all updates are recorded as one step")
        self._after_update()
        self._replay.forget()
        self._is_replay_due = self._is_settled = False

    def _begin_epoch(self) -> None:
        """Begin an epoch, after one whose loop was left before its end."""
        if self._live.position.batches and not (self._batches.is_resumed or self._batches.is_open):
            self._end_epoch()
        self._save_again()
        self._began = time.perf_counter(), self.step

    def _save_again(self) -> None:
        """Write the checkpoint of the last epoch again, unless the program has left generators and schedules alone.

        A validation draws random numbers, and many schedules make a step there: a resume goes on after both.
        """
        before, self._at_epoch_end = self._at_epoch_end, None
        if before is None or self._is_over:
            return
        if self._ranks is not None:
            self._ranks.pass_point(self._live, self.step)
        with self._survive:
            if (run := self._recorded) is not None and not is_equal(before, self._live.between_epochs()):
                run.checkpoint("epoch")

    def _after_update(self) -> None:
        """Record what the step did, and write a checkpoint if it is due."""
        self._live.position.settled = None
        try:
            update, run, ranks = self._hooks.take(), self._run, self._ranks
            if ranks is not None:
                self._is_replay_due = note_step(update, run, self._numbers, self._weights, self._replay, ranks.words)
            elif isinstance(run, AttachedRun):
                is_late = update.finite is not None
                is_skipped = not run.is_over and run.add(self._numbers.reading(update, self._weights))
                if self._networks is not None:
                    self._networks.end_step(update, is_skipped=is_skipped, is_late=is_late)
                elif is_skipped:
                    self._is_replay_due = self._replay.can_fork and run.replays.is_due(update, run.step)
            self._is_settled = True
            if self._awaiting:
                self._record_validations()
            if self._checkpoint_every and self.step % self._checkpoint_every == 0:
                self._checkpoint("step")
                self._numbers.restart()
        except Exception as error:  # costs a step less than a context
            self._detach(error)

    def _record_validations(self) -> None:
        """Record the validations that the loop has reported since the update, with a checkpoint if one is the best."""
        awaiting, self._awaiting = self._awaiting, ()
        for validation in awaiting:
            if (run := self._recorded) is not None and run.validated(*validation):
                self._checkpoint("best", best=True)

    def _add_replay(self, running: Repetition) -> None:
        """Record what a repetition of the step finds, once it has ended."""
        if self._ranks is not None:
            self._ranks.add_replay(running, self._run)
        elif (run := self._recorded) is not None:
            run.replays.add(running)

    def _checkpoint(self, kind: str, *, best: bool = False) -> None:
        """Write a checkpoint of a step that all processes are at; only a `best` one may be of one process alone."""
        if self._ranks is not None and not best:
            self._ranks.checkpoints.pass_point(self._live, self.step)
        if (run := self._recorded) is not None:
            run.checkpoint(kind, best=best)

    def _end_epoch(self) -> None:
        """Record the end of an epoch, with a checkpoint."""
        if self._is_over:
            return
        position, (started, first_step) = self._live.position, self._began
        seconds = time.perf_counter() - started
        with self._survive:
            done = position.epoch
            self._live.position = LoaderPosition(done + 1, length=position.length)
            if (run := self._recorded) is not None:
                run.end_epoch(done, seconds)
            if self.step > first_step:
                self._checkpoint("epoch")
                self._at_epoch_end = self._live.between_epochs()


class Cockpit(RecordedLoop):
    """A training of one's own, recorded and steered like a run of the engine.

    `model` and `optimizer` may each be one object, a sequence, or a mapping by name. `options` are those of
    `LoopOptions`: run, config, scheduler, scaler, runs_dir, resume, score, lower_is_better, checkpoint_every, guardian,
    max_steps and layers_every.

    Raises UserError if the run exists or cannot be resumed, and TypeError for a network or an optimizer that
    is not torch's.
    """

    # --- the loop -------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The current epoch (from 0): after a resume, the one that was interrupted."""
        return self._live.position.epoch

    def epochs(self, num_epochs: int) -> Iterator[int]:
        """Yield the epochs that are left of `num_epochs`: all of them, or after a resume the rest."""
        for epoch in range(self.epoch, num_epochs):
            if self._stopped:
                return
            yield epoch
            self._begin_epoch()
            if self.epoch == epoch:  # an epoch without steps()
                self._live.position = LoaderPosition(epoch + 1)

    def steps(self, loader: Iterable[Batch]) -> Generator[Batch]:
        """Yield the batches of one epoch. Commands are carried out between two steps.

        The next call begins the next epoch, also after `break`. In the body of another loop, or together with it as in
        `zip`, the batches are no epoch of their own.
        A stop ends `with Cockpit(...)`; without it, this and all later epochs end here. After a resume in mid-epoch
        the loader is brought to the same place: by its `load_state_dict`, or by reading the batches before it.
        """
        if self._is_over:
            yield from loader if self._is_detached else ()
            return
        batches = self._batches.read(
            loader, self._numbers, EpochLoop(self._begin_epoch, self._end_epoch, self._end_step)
        )
        replay, hooks = self._replay, self._hooks
        hooks.thread = get_ident()
        for batch in batches:
            replay.keep(batch)
            yield batch
            if self._is_over:
                if self._is_detached:
                    self._let_go()
                    yield from batches
                return
            if not hooks.update.count:  # weights and gradients belong together only after an update
                with self._survive:
                    self._numbers.pass_batch()
                continue
            self._after_update()
            if self._is_replay_due:  # before the boundary, which may change the weights, or wait
                self._is_replay_due = False
                if (running := self._replay.begin(self.step)) is None:
                    self._rehearse()
                    loop = inspect.currentframe()
                    yield from self._replay.batches(loop and loop.f_back, self._hooks.update.losses)
                else:
                    self._add_replay(running)
            is_held = self._ranks is not None or self._run.is_asked
            goes_on = not is_held or self._cross_boundary()
            if self._is_settled:
                self._replay.forget()
                self._is_settled = False
            if not goes_on:
                return
            self._batches.settle()

    def _cross_boundary(self) -> bool:
        """Process commands. Return whether the loop goes on."""
        with self._survive:
            try:
                if self._hold():
                    self._numbers.restart()
                    self._weights = {} if self._is_over else self._run.loss_weights
            except TrainingStopped:
                self._run.end("stopped")
                self._close()
                if self._entered:
                    raise
                return False
        return True

    def _rehearse(self) -> None:
        """Make this copy of the process one that only repeats a step: it records nothing and updates nothing."""
        self._hooks.rehearse = self._replay.note_gradients
        self._run.is_over = True

    def _hold(self) -> bool:
        """Carry out commands, in all processes at the same step. Return whether anything was asked."""
        ranks = self._ranks
        if ranks is None:
            return isinstance(self._run, AttachedRun) and self._run.boundary()
        is_held = ranks.boundary(self._run, self._live)
        if ranks.is_gone:
            self._let_go()
        return is_held

    # --- what the loop says ---------------------------------------------------------------

    @untraced
    def loss(self, terms: Mapping[str, Tensor] | Tensor) -> Tensor:
        """Return the weighted sum of the loss `terms`, scalars by name, on which to call `backward`.

        The weights are 1 until they are set from the screen. A term that is not finite is named.
        """
        named = terms if type(terms) is dict or isinstance(terms, Mapping) else {"loss": terms}
        if not named:
            raise UserError("cockpit.loss() needs at least one term, such as {'ce': loss}")
        try:
            return self._weighted(named)
        except Exception as error:  # costs a step less than a context
            self._detach(error)
        return sum(list(named.values())[1:], next(iter(named.values())))

    def _weighted(self, named: Mapping[str, Tensor]) -> Tensor:
        if self._replay.is_rehearsal:
            self._replay.note_terms(named)
        self._numbers.note_losses(named)
        weights, total = self._weights, None
        for name, value in named.items():
            if (weight := weights.get(name)) is None:
                weights = self._describe(named)
                weight = weights.get(name, 1.0)
            if weight == 0.0:
                continue
            part = value if weight == 1.0 else value * weight
            total = part if total is None else total + part
        return _nothing_of(named) if total is None else total

    def _describe(self, named: Mapping[str, Tensor]) -> Mapping[str, float]:
        """Describe terms, of which one is new. Return the weights in force."""
        if (run := self._recorded) is not None:
            run.describe_terms(tuple(named))
            self._weights = run.loss_weights
        return self._weights

    def knob(
        self,
        name: str,
        value: Value,
        low: float | None = None,
        high: float | None = None,
        *,
        choices: Sequence[str] = (),
    ) -> KnobHandle[Value]:
        """Return a live value: call it to read it. It can be set from the screen, within `low`..`high` or `choices`.

        A bool makes a toggle. A resumed run keeps the value that was set. In all processes it is that of rank 0. Raises
        UserError for bounds that exclude `value`.
        """
        handle = KnobHandle(name, value, self._run if isinstance(self._run, AttachedRun) else None)
        handle.declare(low, high, tuple(choices))
        if self._ranks is not None and not self._is_over:
            self._ranks.declare(handle, self._run)
        return handle

    @untraced
    def log(self, **numbers: float | Tensor) -> None:
        """Record numbers with the current step, as `log/NAME`; of several processes, those of rank 0.

        What is not a single number is left out, and said once on the error stream.
        """
        self._numbers.log(numbers)

    @untraced
    def validated(self, *, loss: float | Tensor | None = None, **metrics: float | Tensor) -> None:
        """Record the result of a validation, as `val/NAME`. The best score makes the best checkpoint.

        The score is `score`, or else the first metric. Of several processes, that of rank 0 is recorded.
        """
        if self._recorded is None:
            return
        with self._survive:
            found = self._numbers.checked(metrics if loss is None else {**metrics, "loss": loss}, "validated")
            numbers = {name: float(on_host(value)) for name, value in found.items()}
            measured = numbers.pop("loss", None)
            self._awaiting = (*self._awaiting, (numbers, measured, self._numbers.seconds))
            if self._batches.is_open and self._hooks.update.count:
                return  # of the weights that belong to the step of this batch
            self._batches.keeps_random |= self._batches.is_open
            self._record_validations()


def _nothing_of(named: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of `named` with weights of 0, on which `backward` can be called."""
    first, *others = named.values()
    return sum((value * 0.0 for value in others), first * 0.0)

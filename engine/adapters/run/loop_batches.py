"""The batches of an own loop, and the numbers of its steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from torch import Tensor

from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.survive import say
from engine.adapters.hooks.update_judge import Update
from engine.adapters.hooks.watched_optimizer import unknown_optimizers
from engine.adapters.hooks.weight_norms import WeightNorms
from engine.adapters.run.batches import count_samples, is_number, length_of, number_of_term, on_host
from engine.adapters.run.state.attachable import Stateful
from engine.adapters.run.state.attached_state import AttachedState
from engine.adapters.run.state.generators import random_states, set_random_states
from engine.adapters.steps.step_reading import NOTHING, StepReading
from engine.protocol.record import record

Batch = TypeVar("Batch")
_MOST_LOOKS: Final = 3
"""Number of times that optimizers are looked for among all objects, which takes about a tenth of a second."""


class LoopNumbers:
    """Collects the numbers of a step while the loop runs it: losses, logged values, waiting time and samples."""

    def __init__(self, hooks: OptimizerHooks) -> None:
        self._losses: dict[str, list[float | Tensor]] = {}
        self._passed: list[tuple[dict[str, list[float | Tensor]], bool]] = []
        self._num_losses = 0
        self.logged: dict[str, float | Tensor] = {}
        self.wait = 0.0
        self.samples = 0
        self._refused: set[str] = set()
        self._versions: list[int] = []
        self._num_looks = 0
        self._hooks = hooks
        self._began = time.perf_counter()
        self._weight_norms = WeightNorms()

    def note_losses(self, terms: Mapping[str, Tensor | float]) -> None:
        """Keep the loss terms of one batch; a number in host memory is read now."""
        losses = self._losses
        for name, value in terms.items():
            if type(value) is Tensor and value.is_cpu and value.numel() == 1:
                number = value.item()
            else:
                number = number_of_term(value)
            if name in losses:
                losses[name].append(number)
            else:
                losses[name] = [number]

    def log(self, numbers: Mapping[str, object]) -> None:
        """Keep numbers of the program until the step is recorded."""
        self.logged.update(self.checked(numbers, "log"))

    def checked(self, numbers: Mapping[str, object], call: str) -> dict[str, float | Tensor]:
        """Return what is a single number, and say once of each other name that `call` does not record its value."""
        found: dict[str, float | Tensor] = {}
        for name, value in numbers.items():
            if is_number(value):
                found[name] = value
            elif (said := f"{call}({name}=...)") not in self._refused:
                self._refused.add(said)
                say(f"{said} is not recorded: it is not a single number")
        return found

    def pass_batch(self) -> None:
        """Keep the losses of a batch without an update, and whether it called `backward`.

        They count unless its gradients are thrown away, or it has none and the program calls `backward` elsewhere.
        """
        self._hooks.pass_batch()
        self._look_for_others()
        if self._losses:
            self._passed.append((self._losses, self._hooks.num_losses != self._num_losses))
            self._losses = {}
        self._num_losses = self._hooks.num_losses

    def _look_for_others(self) -> None:
        """Watch an optimizer that was made later, when weights change without an update of those that are known."""
        versions = [one._version for reader in self._hooks.readers for one in reader.parameters[:1]]
        former, self._versions = self._versions, versions
        if former in ([], versions) or self._num_looks >= _MOST_LOOKS:
            return
        self._num_looks += 1
        for late in unknown_optimizers((*self._hooks.optimizers, *self._hooks.late), self._hooks.readers):
            self._hooks.watch(late)
            self._hooks.late.append(late)
            say(
                f"the {type(late).__name__} that was made after Cockpit(...) is watched too, but not saved in "
                "checkpoints: give all optimizers to Cockpit(model, [...]) for that"
            )

    def _add_passed(self, update: Update) -> None:
        """Put the losses of the batches before the last one of a step before its own."""
        passed = [losses for losses, is_used in self._passed if is_used or not self._hooks.num_losses]
        parts = [self._losses] if update.is_restarted else [*passed, self._losses]
        self._losses, self._passed = {}, []
        for part in parts:
            for name, values in part.items():
                self._losses.setdefault(name, []).extend(values)

    def drop(self) -> None:
        """Forget the numbers of a step that another process records, and begin the next one."""
        self._losses, self._passed, self.logged = {}, [], {}
        self.wait, self.samples, self._began = 0.0, 0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the last step ended."""
        return max(time.perf_counter() - self._began, 1e-9)

    def restart(self) -> None:
        """Begin the next step only now: a pause or a checkpoint is no part of it."""
        self._began = time.perf_counter()

    def reading(self, update: Update, weights: Mapping[str, float]) -> StepReading:
        """Return the numbers of the step with this update, and begin the next step.

        `weights` are those of the loss terms in it.
        """
        now = time.perf_counter()
        seconds = max(now - self._began, 1e-9)
        self._began = now
        norms = self._weight_norms
        losses: dict[str, float | Tensor] = {}
        self._versions = []
        self._num_losses = self._hooks.num_losses
        if self._passed:
            self._add_passed(update)
        for name, values in self._losses.items():
            losses[name] = values[0] if len(values) == 1 else sum(values[1:], values[0]) / len(values)
        if not losses and update.losses:
            losses[""] = sum(update.losses[1:], update.losses[0])
        reading = StepReading(
            update,
            losses,
            seconds,
            self.wait,
            self.samples,
            {name: on_host(value) for name, value in self.logged.items()} if self.logged else NOTHING,
            norms.newest if now < norms.due else norms.read(self._hooks, now),
            weights,
        )
        self._losses = {}
        if self.logged:
            self.logged = {}
        self.wait, self.samples = 0.0, 0
        return reading


@record
class EpochLoop:
    """What has to be done where a loop begins and ends an epoch, and where it is left in the midst of one."""

    begin: Callable[[], None]
    end: Callable[[], None]
    leave: Callable[[], None]


class LoopBatches:
    """Reads a loader, and keeps the position of the training in it."""

    def __init__(self, live: AttachedState) -> None:
        self._live = live
        self._skip = 0
        self.is_open = False
        """Whether an epoch is being read."""
        self.is_used = False
        """Whether any was read."""

    @property
    def is_resumed(self) -> bool:
        """Whether the next loop goes on in the epoch of a checkpoint."""
        return self._skip > 0

    def resume(self) -> None:
        """Bring the next loader to the place in the epoch that a checkpoint holds."""
        self._skip = self._live.position.batches

    def read(self, loader: Iterable[Batch], numbers: LoopNumbers, loop: EpochLoop) -> Generator[Batch]:
        """Yield the batches of the current epoch that are left; while one is read, those of another loader."""
        self.is_used = True
        if is_epoch := not self.is_open:
            loop.begin()
            self.is_open = True
        try:
            batches = self._open(loader) if is_epoch else iter(loader)
            stateful = loader if is_epoch and isinstance(loader, Stateful) else None
            live, clock = self._live, time.perf_counter
            asked_at = clock()
            for batch in batches:
                numbers.wait += clock() - asked_at
                numbers.samples += count_samples(batch)
                live.position.batches += is_epoch
                if stateful is not None and not self._takes_state(stateful):
                    stateful = None
                yield batch
                asked_at = clock()
            if is_epoch:
                loop.end()
        except GeneratorExit:  # `break`, or an error
            loop.leave()
            raise
        finally:
            self.is_open &= not is_epoch

    def _takes_state(self, loader: Stateful) -> bool:
        """Keep the state of the loader. Return whether it has one, as it was built: accelerate's may not."""
        position = self._live.position
        try:
            position.state = loader.state_dict()
        except Exception:  # it has the method only
            position.state = None
        return position.state is not None

    def _open(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """Return an iterator at the place of the current epoch."""
        position = self._live.position
        position.length = length_of(loader)
        skip, self._skip = self._skip, 0
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

"""The numbers of a step of an own loop, which are collected while the loop runs it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from torch import Tensor

from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.optimizers.wrapped_optimizers import unknown_optimizers
from engine.adapters.hooks.survive import say
from engine.adapters.hooks.update import Update
from engine.adapters.hooks.weight_norms import WeightNorms
from engine.adapters.run.batches import is_number, number_of_term, on_host
from engine.adapters.steps.step_reading import NOTHING, StepReading

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
            if not self._hooks.update.counts(number):
                continue
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

"""Measure the layers of a foreign training at some of its steps, and take histograms of one on request.

A fault ends the measurement and nothing else.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from ...outputs.inspection.layer_histograms import LayerHistograms
from ...protocol.record import record
from ...training.gradients.layer_histogram import HistogramTaker, PendingHistograms, layer_names
from ...training.gradients.layer_probe import LayerProbe
from ...training.gradients.layer_values import LayerValues, PendingLayers
from .gradients.parameter_names import ParameterNames, unwrapped
from .survive import say

VARIABLE: Final = "TRAINING_COCKPIT_LAYERS"
"""Environment variable with the steps between two measurements, 0 for none."""
_EVERY: Final = 50
_MOST_SHARE: Final = 0.001
"""Maximum share of the time that measuring costs the training's thread, unless the interval is chosen."""


class MeasuredLayers(Protocol):
    """The numbers of the layers at one step, which are measured every `every` steps."""

    @property
    def every(self) -> int:
        """Return the interval in steps."""
        ...

    def resolve(self, *, counted: bool) -> LayerValues:
        """Return the numbers on the host; there is no update unless the step `counted`."""
        ...


class TakenHistograms(Protocol):
    """The histograms of one layer, perhaps still on their way from a device or from another process."""

    def resolve(self, step: int) -> LayerHistograms:
        """Return the histograms of step `step` (from 1) on the host."""
        ...


@record
class WatchedLayers:
    """The numbers of the layers of this process."""

    pending: PendingLayers
    every: int

    def resolve(self, *, counted: bool) -> LayerValues:
        """Return the numbers on the host; see `MeasuredLayers`."""
        return self.pending.resolve(counted=counted)


def chosen_every() -> int:
    """Return the steps between two measurements that the environment chooses; 50 by default.

    Of several processes only rank 0 measures, as only its numbers are recorded.
    """
    group = torch.distributed
    is_together = group.is_available() and group.is_initialized()
    if (group.get_rank() if is_together else int(os.environ.get("RANK", "0"))) > 0:
        return 0
    return int(os.environ[VARIABLE]) if is_chosen() else _EVERY


def is_chosen() -> bool:
    """Return whether the environment chooses the steps between two measurements."""
    return os.environ.get(VARIABLE, "").isdecimal()


class LayerWatch:
    """Measures the networks in `names` every `every` steps, from the first one on; 0 for never.

    With `None` the environment chooses. If it does not, the interval is 50 steps, doubled as often as it takes until
    measuring costs less than a thousandth of the time. `is_due` is whether the current step is measured, or a layer
    waits for histograms. Outputs of modules are watched from the end of the step before, and so not in the first one.
    Until it begins, the program may compile its networks; torch warns of that while there is a hook on all modules.
    """

    def __init__(self, names: ParameterNames, every: int | None = None) -> None:
        self._names = names
        self.num_idle = 0
        """Number of steps that pass before `take` has anything to do."""
        self._next = 0
        self._num_changes = 0
        self._probe: LayerProbe | None = None
        self._taker: HistogramTaker | None = None
        self._is_measured = False
        self._cost = 0.0
        self._measured_at: tuple[float, int] | None = None
        self.measure_every(chosen_every() if every is None else every)
        self._is_sparing = every is None and not is_chosen()

    def measure_every(self, every: int) -> None:
        """Measure every `every` steps from now on; 0 for never."""
        self.remove()
        self.every = every
        self._is_sparing = False
        self._step_is(self._num_steps)

    @property
    def _num_steps(self) -> int:
        """The number of steps that have ended."""
        return self._next - self.num_idle

    def _step_is(self, number: int) -> None:
        """Begin step `number`, and note how many steps pass before the next that is measured begins or ends."""
        self._is_measured = self.every > 0 and number % self.every == 0
        self.is_due = self._is_measured or self._is_asked
        self.num_idle = self.every - number % self.every - 1 if self.every and not self.is_due else 0
        self._next = number + self.num_idle

    def note_gradients(self, parameters: Iterable[Tensor], scale: float = 1.0) -> None:
        """Measure gradients, which are `scale` times what they mean, and weights before an update."""
        if (taker := self._taker) is not None:
            parameters = list(parameters)
            self._guarded(lambda: taker.note_gradients(set(map(id, parameters)), scale=scale), is_counted=False)
        if self._is_measured:
            self._guarded(lambda: self._note(parameters, scale))

    def note_update(self) -> None:
        """Measure how far the update has moved the weights."""
        if self._is_measured and self._probe is not None:
            self._guarded(self._probe.note_update)

    def take(self) -> WatchedLayers | None:
        """Return the numbers of the step that ended, `None` unless it was measured; watch the next one if it is due."""
        found = self._finish() if self._is_measured else None
        self._step_is(self._num_steps + 1)
        if self._is_measured:
            self._guarded(self._prepare)
        return found

    def _finish(self) -> WatchedLayers | None:
        """Return the numbers of the step, which was measured, and choose the interval anew; `None` after a fault."""
        found: list[PendingLayers | None] = []
        every = self.every
        if (probe := self._probe) is not None:
            self._guarded(lambda: (probe.unwatch(), found.append(probe.finish())))
        self._space_out()
        return WatchedLayers(found[0], every) if found and found[0] is not None else None

    def _space_out(self) -> None:
        """Choose the interval by what the measurement of this step has cost the training's thread."""
        now, before = (time.perf_counter(), self._num_steps), self._measured_at
        cost, self._cost, self._measured_at = self._cost, 0.0, now
        if not self._is_sparing or before is None or not self.every:
            return
        seconds = (now[0] - before[0]) / (now[1] - before[1])
        share = cost / max(seconds * self.every, 1e-9)
        if share > _MOST_SHARE:
            self.every *= 2 ** math.ceil(math.log2(share / _MOST_SHARE))
        elif share < _MOST_SHARE / 4 and self.every > _EVERY:
            self.every //= 2

    def remove(self) -> None:
        """Measure nothing more."""
        self.every = 0
        self.is_due = self._is_measured = False
        taker, self._taker = self._taker, None
        if taker is not None:
            taker.unwatch()
        if self._probe is not None:
            self._probe.unwatch()

    # --- histograms -----------------------------------------------------------------------

    @property
    def _is_asked(self) -> bool:
        """Whether a layer waits for histograms."""
        return self._taker is not None

    def layer_names(self) -> list[str]:
        """Return the names of the layers whose histograms can be requested."""
        return layer_names(self._networks())

    def request_histogram(self, layer: str) -> str:
        """Take histograms of `layer` at the next step; return why that is impossible, or an empty string."""
        taker = self._taker or HistogramTaker(self._networks())
        if reason := taker.request(layer):
            return reason
        taker.watch(on=not any(map(_is_compiled, self._names.models.values())))
        self._taker = taker
        self._step_is(self._num_steps)
        return ""

    def take_histograms(self) -> tuple[PendingHistograms, ...]:
        """Return the histograms that were taken in the step that ended; layers that took no part in it still wait."""
        if (taker := self._taker) is None:
            return ()
        found: list[PendingHistograms] = []
        self._guarded(lambda: (found.extend(taker.finish()), taker.begin()), is_counted=False)
        if not taker.is_waiting:
            taker.unwatch()
            self._taker = None
            self._step_is(self._num_steps)
        return tuple(found)

    def _networks(self) -> dict[str, nn.Module]:
        return {name: unwrapped(model) for name, model in self._names.models.items()}

    # --- the work -------------------------------------------------------------------------

    def _note(self, parameters: Iterable[Tensor], scale: float) -> None:
        if self._num_changes != self._names.num_changes:
            self._renew()
        if self._probe is not None:
            self._probe.note_gradients(parameters, scale=scale)

    def _prepare(self) -> None:
        """Watch the outputs of the next step if it is measured."""
        if not self._names.models:
            return
        if self._num_changes != self._names.num_changes:
            self._renew()
        if self._probe is None:
            return
        self._probe.begin()
        if not any(map(_is_compiled, self._names.models.values())):
            self._probe.watch()

    def _renew(self) -> None:
        self._num_changes = self._names.num_changes
        if self._probe is not None:
            self._probe.unwatch()
        self._probe = LayerProbe(self._networks())

    def _guarded(self, measure: Callable[[], object], *, is_counted: bool = True) -> None:
        began = time.thread_time()
        try:
            measure()
        except Exception as error:  # the training must go on, and with it everything else that is recorded
            self.remove()
            say(f"layers are no longer measured: {error!r}")
        finally:
            if is_counted:  # what was requested does not change how often layers are measured
                self._cost += time.thread_time() - began


def _is_compiled(model: nn.Module) -> bool:
    """Return whether a part of the network is compiled: hooks would be compiled into it, or have no effect."""
    return any(
        "_orig_mod" in module._modules or getattr(module, "_compiled_call_impl", None) is not None  # pyright: ignore[reportPrivateUsage]
        for module in model.modules()
    )

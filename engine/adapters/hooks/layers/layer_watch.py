"""Measure the layers of a foreign training at some of its steps, and take histograms of one on request.

A fault ends the measurement and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from torch import Tensor, nn

from ....training.gradients.layer_histogram import HistogramTaker, PendingHistograms, layer_names
from ....training.gradients.layer_probe import LayerProbe
from ....training.gradients.layer_values import PendingLayers
from ..gradients.parameter_names import ParameterNames, unwrapped
from ..survive import say
from .measure_interval import MeasureInterval
from .measured_layers import WatchedLayers


class LayerWatch:
    """Measures the networks in `names` every `every` steps, from the first one on; see `MeasureInterval`.

    `is_due` is whether the current step is measured, or a layer waits for histograms. Outputs of modules are watched
    from the end of the step before, and so not in the first one.
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
        self._refusal = ""
        self._interval = MeasureInterval(every)
        self._step_is(0)

    def measure_every(self, every: int) -> None:
        """Measure every `every` steps from now on; 0 for never."""
        self.remove()
        self._interval.fix(every)
        self._step_is(self._num_steps)

    def refuse(self, reason: str) -> None:
        """Measure nothing, for this reason."""
        self._refusal = reason
        self.measure_every(0)

    @property
    def _num_steps(self) -> int:
        """The number of steps that have ended."""
        return self._next - self.num_idle

    def _step_is(self, number: int) -> None:
        """Begin step `number`, and note how many steps pass before the next that is measured begins or ends."""
        every = self._interval.every
        self._is_measured = every > 0 and number % every == 0
        self.is_due = self._is_measured or self._is_asked
        self.num_idle = every - number % every - 1 if every and not self.is_due else 0
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
        """Return the numbers of the step, which was measured, and choose the next interval; `None` after a fault."""
        found: list[PendingLayers | None] = []
        every = self._interval.every
        if (probe := self._probe) is not None:
            self._guarded(lambda: (probe.unwatch(), found.append(probe.finish())))
        self._interval.space_out(self._num_steps)
        return WatchedLayers(found[0], every) if found and found[0] is not None else None

    def remove(self) -> None:
        """Measure nothing more."""
        self._interval.every = 0
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
        if self._refusal:
            return self._refusal
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
                self._interval.cost += time.thread_time() - began


def _is_compiled(model: nn.Module) -> bool:
    """Return whether a part of the network is compiled: hooks would be compiled into it, or have no effect."""
    return any(
        "_orig_mod" in module._modules or getattr(module, "_compiled_call_impl", None) is not None  # pyright: ignore[reportPrivateUsage]
        for module in model.modules()
    )

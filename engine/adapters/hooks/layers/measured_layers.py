"""Numbers and histograms of layers on their way to the host, as a step's update holds them."""

from __future__ import annotations

from typing import Protocol

from ....outputs.inspection.layer_histograms import LayerHistograms
from ....protocol.record import record
from ....training.gradients.layer_values import LayerValues, PendingLayers


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

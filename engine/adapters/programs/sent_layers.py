"""The numbers of layers as they came from another process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.protocol.record import record
from engine.training.gradients.layer_probe import LayerNames, LayerValues


@record
class SentLayers:
    """The numbers of the layers at one step, which are measured every `every` steps."""

    values: LayerValues
    every: int

    @classmethod
    def of(cls, row: Mapping[str, Any] | None) -> SentLayers | None:
        """Return the numbers in a message, `None` for none."""
        if row is None:
            return None
        names = LayerNames(tuple(row["parameters"]), tuple(row["sizes"]), tuple(row["modules"]))
        return cls(LayerValues(names, np.array(row["values"], np.float32)), row["every"])

    def resolve(self, *, counted: bool) -> LayerValues:
        """Return the numbers; the other process knew whether the step `counted`."""
        return self.values

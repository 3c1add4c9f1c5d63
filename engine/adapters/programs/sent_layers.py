"""The numbers of layers as they came from another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from engine.outputs.inspection.layer_histograms import LayerHistograms
from engine.protocol.codec import Json, from_json
from engine.protocol.record import record
from engine.training.gradients.layer_values import LayerNames, LayerValues


@record
class SentHistograms:
    """The histograms of one layer, at a step as the program counts them."""

    taken: LayerHistograms

    @classmethod
    def of(cls, row: Json) -> SentHistograms:
        """Return the histograms in a message."""
        return cls(from_json(LayerHistograms, row))

    def resolve(self, step: int) -> LayerHistograms:
        """Return the histograms of step `step`, as the run counts."""
        return replace(self.taken, step=step)


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

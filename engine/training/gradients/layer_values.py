"""The numbers of every layer at one step, and their way from the device. Also loaded into foreign programs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...protocol.record import record


@record
class LayerNames:
    """The names of P parameters, with the number of values of each, and of M modules."""

    parameters: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    modules: tuple[str, ...] = ()


@record
class LayerValues:
    """The numbers of one step; NaN for none, infinite for a gradient that is not finite.

    `values` are the gradient norms of P parameters, and the shares of zeros in their gradients. Their weight norms
    before the update follow, the ratios of update to weight norm, and the shares of zeros in the outputs of M modules.
    """

    names: LayerNames
    values: NDArray[np.float32]


@record
class PendingLayers:
    """The numbers of one step on their way from the device; `resolve` waits for them.

    `vector` has the gradient norms of the parameters numbered by `grads`, and the counts of their values that are not
    zero. The norms of `weights` and `updates` follow, and the counts of `outputs`, which are modules.
    """

    names: LayerNames
    vector: Tensor
    copied: torch.cuda.Event | None
    grads: Sequence[int]
    scales: Sequence[float]
    weights: Sequence[int]
    updates: Sequence[int]
    outputs: Sequence[int]
    num_outputs: Sequence[int]

    def resolve(self, *, counted: bool) -> LayerValues:
        """Return the numbers on the host. There is no update unless the step `counted`."""
        if self.copied is not None:
            self.copied.synchronize()
        count = len(self.names.parameters)
        sizes = np.array(self.names.sizes, np.float64)
        table = np.full((4, count), np.nan)
        outputs = np.full(len(self.names.modules), np.nan)
        lengths = (len(self.grads), len(self.grads), len(self.weights), len(self.updates))
        norms, filled, weights, updates, some = np.split(self.vector.numpy().astype(np.float64), np.cumsum(lengths))
        grads = np.array(self.grads, np.intp)
        with np.errstate(all="ignore"):
            norms = norms / np.array(self.scales, np.float64)
            table[0, grads] = np.where(np.isfinite(norms), norms, np.inf)
            table[1, grads] = 1.0 - filled / np.maximum(sizes[grads], 1.0)
            table[2, np.array(self.weights, np.intp)] = weights
            if counted:
                moved = np.array(self.updates, np.intp)
                table[3, moved] = updates / table[2, moved]
            table[3, ~np.isfinite(table[3])] = np.nan  # weights that were zero
            outputs[np.array(self.outputs, np.intp)] = 1.0 - some / np.maximum(np.array(self.num_outputs), 1.0)
        return LayerValues(self.names, np.concatenate([table.ravel(), outputs]).astype(np.float32))

"""What the network returns: one dataclass, a field for each head; heads that are off are None."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(slots=True)
class Outputs:
    """N regions of interest, H x W = mask size. `log_probs` sum to one over the three classes after exp."""

    log_probs_N3HW: Tensor
    auxiliary_N1HW: Tensor
    contour_N1HW: Tensor | None = None
    distance_N1HW: Tensor | None = None

"""Histograms of a layer at one step, as a run's files hold them. Also loaded into foreign programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...protocol.record import record


@record
class Histogram:
    """The distribution of `count` values. NaN and infinite ones are counted apart, and are in no other number.

    `bins` are equal parts of the range from `low` to `high`. `magnitudes` are equal parts of the decimal logarithms of
    absolute values, from `low_exponent` to `high_exponent`, without zeros. A number without a value is NaN.
    """

    count: int
    zeros: int
    nans: int
    infinities: int
    low: float
    high: float
    mean: float
    std: float
    sum_of_squares: float
    bins: tuple[int, ...]
    low_exponent: float
    high_exponent: float
    magnitudes: tuple[int, ...]


@record
class LayerHistograms:
    """A layer at the end of the backward pass of step `step` (from 1): weights before the update, gradients, outputs.

    `missing` has the reason for each kind without a histogram.
    """

    layer: str
    step: int
    weights: Histogram | None
    gradients: Histogram | None
    activations: Histogram | None
    missing: Mapping[str, str]

    def kinds(self) -> Iterator[tuple[str, Histogram | None]]:
        """Yield the kinds by name, in display order."""
        yield "weights", self.weights
        yield "gradients", self.gradients
        yield "activations", self.activations

"""The report of one training step: its measurements on their way from the device, and their names on the host.

T loss terms, P parts of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from engine.protocol.record import record
from engine.training.device import PartTimer
from engine.training.gradients.finite_check import MOMENTS, WEIGHTS
from engine.training.gradients.layer_histogram import PendingHistograms
from engine.training.gradients.layer_values import PendingLayers
from engine.training.step_plan import StepPlan


@record
class StepReport:
    """Measurements of one step. `values` belong to `names`; `finite` is False if nothing was updated.

    `bad_modules` are parts with a non-finite gradient; `bad_weights` and `bad_moments` those with non-finite weights or
    moments. `weights_finite` is False if one of the latter two is not empty. `bad_ranks` are the ranks whose loss or
    gradient was not finite, if there are several.
    """

    index: int
    names: tuple[str, ...]
    values: tuple[float, ...]
    finite: bool
    bad_terms: tuple[str, ...]
    bad_modules: tuple[str, ...]
    loss: float
    grad_norm: float
    clamp_hits: int
    weights_finite: bool
    bad_weights: tuple[str, ...] = ()
    bad_moments: tuple[str, ...] = ()
    bad_ranks: tuple[int, ...] = ()


@record
class _Values:
    """A step's measurements by name; losses and clamp hits by term, norms by part of the network."""

    total: float
    weighted: dict[str, float]
    raw: dict[str, float]
    hits: dict[str, float]
    grad_norm: float
    grad_norms: dict[str, float]
    weight_norms: dict[str, float]
    extras: dict[str, float]
    checks: dict[str, float]
    bad_ranks: tuple[int, ...]


@record
class VectorLayout:
    """The names of the values in a step's vector, in the order in which `TrainStep.run` writes them.

    `extras` are metrics that not every step has, `checks` the norms of weights and moments that are looked at. `world`
    is the number of ranks that say whether they were finite, 0 for a training on one.
    """

    terms: tuple[str, ...]
    parts: tuple[str, ...]
    extras: tuple[str, ...]
    checks: tuple[str, ...]
    world: int = 0

    def unpack(self, vector: Sequence[float]) -> _Values:
        """Return the values by name. Raises ValueError if the vector has another length."""
        count = 2 + 3 * len(self.terms) + 2 * len(self.parts) + len(self.extras) + len(self.checks) + self.world
        if len(vector) != count:
            raise ValueError(f"a step measured {len(vector)} values, not {count}")
        rest = iter(vector)

        def named(names: tuple[str, ...]) -> dict[str, float]:
            return {name: next(rest) for name in names}

        return _Values(
            total=next(rest),
            weighted=named(self.terms),
            raw=named(self.terms),
            hits=named(self.terms),
            grad_norm=next(rest),
            grad_norms=named(self.parts),
            weight_norms=named(self.parts),
            extras=named(self.extras),
            checks=named(self.checks),
            bad_ranks=tuple(rank for rank in range(self.world) if next(rest)),
        )


@record
class PendingReport:
    """A step's measurements on their way from the device; `resolve` waits for them.

    `layers` are those of single layers, `None` unless the plan asks for them; `histograms` those that were requested.
    """

    plan: StepPlan
    layout: VectorLayout
    vector: Tensor
    copied: torch.cuda.Event | None
    timer: PartTimer
    layers: PendingLayers | None = None
    histograms: tuple[PendingHistograms, ...] = ()

    def resolve(self) -> StepReport:
        """Return the report on the host; blocks until the device has finished the step."""
        if self.copied is not None:
            self.copied.synchronize()
        return _report(self.plan, self.layout.unpack(self.vector.tolist()))

    def seconds(self) -> dict[str, float]:
        """Return the seconds of forward, backward, guards and optimizer; after `resolve`."""
        return self.timer.seconds()


def _report(plan: StepPlan, values: _Values) -> StepReport:
    """Name a step's metrics and what was not finite."""
    hits = {term: value for term, value in values.hits.items() if term in plan.clamped}
    metrics = {
        "loss/total": values.total,
        **{f"loss/{term}": value for term, value in values.weighted.items()},
        **{f"loss_raw/{term}": value for term, value in values.raw.items()},
        **{f"clamp_hits/{term}": value for term, value in hits.items()},
        "grad_norm/total": values.grad_norm,
        **{f"grad_norm/{part}": value for part, value in values.grad_norms.items()},
        **{f"weight_norm/{part}": value for part, value in values.weight_norms.items()},
        **{name: value for name, value in values.extras.items() if _finite(value)},
    }
    bad_weights = _bad(values.weight_norms) or _bad(values.checks, WEIGHTS)
    bad_moments = _bad(values.checks, MOMENTS)
    losses = (values.total, *values.weighted.values(), *values.raw.values(), *values.hits.values())
    norms = (values.grad_norm, *values.grad_norms.values(), *values.weight_norms.values(), *values.checks.values())
    return StepReport(
        index=plan.step,
        names=tuple(metrics),
        values=tuple(metrics.values()),
        finite=all(map(_finite, (*losses, *norms))),
        bad_terms=_bad(values.raw),
        bad_modules=_bad(values.grad_norms),
        loss=values.total,
        grad_norm=values.grad_norm,
        clamp_hits=sum(map(int, hits.values())),
        weights_finite=not bad_weights and not bad_moments,
        bad_weights=bad_weights,
        bad_moments=bad_moments,
        bad_ranks=values.bad_ranks,
    )


def _bad(values: Mapping[str, float], kind: str = "") -> tuple[str, ...]:
    """Return the names that begin with `kind`, less that, whose value is not finite."""
    return tuple(
        name.removeprefix(kind) for name, value in values.items() if name.startswith(kind) and not _finite(value)
    )


def _finite(value: float) -> bool:
    return value - value == 0.0

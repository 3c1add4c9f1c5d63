"""Report the effect of switching off each refinement: measurements, ranking, and the culprit in words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from engine.protocol.record import record

CALMER: Final = 2.0
"""Minimum factor by which a refinement raises the largest gradient norm to be blamed if all steps were finite."""

FINITE, NOT_FINITE = "finite", "not finite"


@record
class AblationRequest:
    """An ablation to run: `num_steps` from `checkpoint` and the `folder` of a recorded fault.

    An empty `checkpoint` means the last good one.
    """

    run_dir: Path
    num_steps: int
    checkpoint: str = ""
    folder: Path | None = None
    device: str = "auto"


@record
class Variant:
    """A few steps with refinement `without` off; an empty string for all on.

    Medians and maxima are over the finite steps, NaN if there are none. `base_loss` sums the weighted terms that no
    refinement adds, which every variant has. `bad_batch` is 'finite' or 'not finite' for the batch of the newest
    recorded fault; an empty string if there is none.
    """

    without: str
    num_steps: int
    num_not_finite: int
    base_loss: float
    norm_median: float
    norm_max: float
    bad_batch: str = ""


@record
class Ablation:
    """The control (all on), the variants with the most harmful refinement first, the culprits, and the reason."""

    checkpoint: str
    from_step: int
    control: Variant
    variants: tuple[Variant, ...]
    blamed: tuple[str, ...]
    words: str
    seconds: float


def ranked(control: Variant, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
    """Return the variants, those with the most harmful refinement first.

    The order is by bad batch, non-finite steps, gradient norm, loss.
    """

    def harm(variant: Variant) -> tuple[float, ...]:
        loss = control.base_loss - variant.base_loss
        return (
            float(_cures(control, variant)),
            control.num_not_finite - variant.num_not_finite,
            _calm(control, variant),
            loss if math.isfinite(loss) else 0.0,
        )

    return tuple(sorted(variants, key=harm, reverse=True))


def blame(control: Variant, variants: tuple[Variant, ...], noun: str) -> tuple[tuple[str, ...], str]:
    """Return the components to blame, and a sentence with the reason, also if there are none; `noun` is the task's."""
    if not variants:
        return (), f"no {noun} is on, so none is to blame"
    if control.num_not_finite or control.bad_batch == NOT_FINITE:
        return _blame_for_faults(control, variants)
    best = max(variants, key=lambda variant: _calm(control, variant))
    if _calm(control, best) >= CALMER:
        return (best.without,), (
            f"no step was non-finite; {best.without} is the least stable: without it the largest gradient norm is"
            f" {best.norm_max:.3g} instead of {control.norm_max:.3g}"
        )
    return (), f"none is to blame: with all on every step was finite, and no {noun} doubles the gradient norm"


def _blame_for_faults(control: Variant, variants: tuple[Variant, ...]) -> tuple[tuple[str, ...], str]:
    told = _told(control)
    cured = tuple(v for v in variants if v.num_not_finite == 0 and v.bad_batch != NOT_FINITE)
    if len(cured) == 1:
        return (cured[0].without,), f"{cured[0].without} is to blame: with all on {told}, without it none"
    if cured:
        names = tuple(variant.without for variant in cured)
        return names, f"with all on {told}; switching off any one of {', '.join(names)} ends it: they do it together"
    eased = [v for v in variants if v.num_not_finite < control.num_not_finite]
    if eased:
        best = min(eased, key=lambda variant: variant.num_not_finite)
        return (
            best.without,
        ), f"with all on {told}; without {best.without} still {best.num_not_finite}, and none has fewer"
    return (), f"none alone is to blame: {told} with all on, and as many without any one of them"


def _told(control: Variant) -> str:
    steps = f"{control.num_not_finite} of {control.num_steps} steps were not finite"
    return f"{steps} and the recorded batch is not" if control.bad_batch == NOT_FINITE else steps


def _cures(control: Variant, variant: Variant) -> bool:
    return control.bad_batch == NOT_FINITE and variant.bad_batch == FINITE


def _calm(control: Variant, variant: Variant) -> float:
    """Return the factor by which the refinement raises the largest gradient norm; 1 if it is unknown."""
    ratio = control.norm_max / variant.norm_max if variant.norm_max > 0 else math.nan
    return ratio if math.isfinite(ratio) else 1.0

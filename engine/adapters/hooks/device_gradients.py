"""Judge gradients on an accelerator: with a flag that stays there, or with a single wait for the device.

Each call of torch costs a small step more time than its kernel, so there are as few as possible.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .gradients.gradient_norms import Norms
from .optimizers.watched_optimizer import NO_CLIP, WatchedOptimizer


def judge_late(
    watched: WatchedOptimizer, losses: Sequence[float | Tensor], clip: float, in_all: Callable[[Tensor], Tensor] | None
) -> tuple[Norms, Tensor]:
    """Let the update count only if losses and gradients are finite; return the norms and the flag on the device.

    The optimizer `takes_flag`. Gradients whose norm is above `clip` are scaled down to it. `in_all` returns whether a
    flag is True in all processes, on the device; `None` for a single process.
    """
    norms, now = _norms(watched, clip)
    assert norms.late is not None
    found = _found_inf(norms.late, losses)
    finite = found.eq(0.0)
    if in_all is not None:
        finite = in_all(finite)
        found = finite.logical_not().float()
    scale = None if now is None or now.late is None else torch.clamp(now.late.norm() / clip, min=1.0)
    watched.guard(found, scale)
    return norms, finite


def read_waiting(watched: WatchedOptimizer, losses: Sequence[float | Tensor], clip: float) -> tuple[Norms, float, bool]:
    """Return the norms, the factor that brings the gradients down to `clip`, and whether all losses are finite.

    Waits for the device, once. An optimizer that takes no flag needs the verdict before its update. Copies from which
    to undo the update would need the memory of weights and moments once more, and a fifth of a step.
    """
    reader, is_clipped = watched.reader, watched.clip.norms is not None
    norms, now = _norms(watched, clip)
    assert norms.late is not None
    parts = [norms.late] if now is None or now.late is None else [norms.late, now.late.norm().reshape(1)]
    values: list[float] = torch.cat([*parts, *_on(norms.late, losses)]).tolist()
    count = norms.late.numel()
    divisor = float(watched.optimizer.__dict__.get("grad_scale") or 1.0)  # a GradScaler leaves it to a fused kernel
    found = norms.arrived(values[:count], divisor)
    if not math.isfinite(found.total):
        suspects = [p for p, norm in zip(reader.present(), values[:count], strict=True) if not math.isfinite(norm)]
        # The program's own clip has made every gradient NaN: only the norms before it tell which one was.
        found.bad = tuple(map(reader.name_of, suspects)) if is_clipped else reader.bad_names(suspects)
        if not found.bad:  # every entry is finite, and only a sum of squares overflows
            found.squares = [square / divisor**2 for square in reader.squares_in_double()]
            found.total = math.sqrt(sum(found.squares))
    present = found.total if len(parts) == 1 else values[count] / divisor
    others = [*values[count + len(parts) - 1 :], *(loss for loss in losses if not isinstance(loss, Tensor))]
    return found, clip / present if present > clip else 1.0, all(map(math.isfinite, others))


def _norms(watched: WatchedOptimizer, clip: float) -> tuple[Norms, Norms | None]:
    """Return the norms to record, those before the program's own clip, and with a `clip` the present ones too."""
    before, watched.clip = watched.clip.norms, NO_CLIP
    now = watched.reader.read_on_device() if before is None or math.isfinite(clip) else None
    norms = before or now
    assert norms is not None
    return norms, now if math.isfinite(clip) else None


def _on(norms: Tensor, losses: Sequence[float | Tensor]) -> list[Tensor]:
    """Return the losses that are tensors as vectors of one value, of the kind of `norms`."""
    return [loss.detach().to(norms).reshape(1) for loss in losses if isinstance(loss, Tensor)]


def _found_inf(norms: Tensor, losses: Sequence[float | Tensor]) -> Tensor:
    """Return 0 where all are finite, and 1 otherwise, a float32 scalar: what fused kernels read."""
    if not all(math.isfinite(loss) for loss in losses if not isinstance(loss, Tensor)):
        return norms.new_ones(())
    together = torch.cat([norms, *_on(norms, losses)])  # a copy: the kernel multiplies it by 1
    found = norms.new_zeros(())
    torch._amp_foreach_non_finite_check_and_unscale_([together], found, norms.new_ones(()))  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
    return found

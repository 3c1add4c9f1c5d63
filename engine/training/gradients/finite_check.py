"""Check that all weights and optimizer moments are finite, by one fused reduction per part of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

WEIGHTS, MOMENTS = "weights/", "moments/"
"""Prefixes of the norms' names; the part's name follows."""


def norms_of_state(
    parts: Mapping[str, Sequence[nn.Parameter]], optimizer: torch.optim.Optimizer
) -> tuple[tuple[str, ...], Tensor]:
    """Return L2 norms of every part's weights and moments, as `weights/<part>` and `moments/<part>`.

    Inactive parts are included. A norm is finite only if all its values are. Takes about 3 ms for the 285 tensors of
    `tiny` on one core.
    """
    kept: dict[str, list[Tensor]] = {f"{WEIGHTS}{part}": [p.detach() for p in params] for part, params in parts.items()}
    for part, params in parts.items():
        states = [optimizer.state[p] for p in params if p in optimizer.state]
        kept[f"{MOMENTS}{part}"] = [state[name] for state in states for name in ("exp_avg", "exp_avg_sq")]
    kept = {name: tensors for name, tensors in kept.items() if tensors}
    every = [tensor for tensors in kept.values() for tensor in tensors]
    norms = torch.stack(torch._foreach_norm(every))  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
    squares = norms.square().split([len(tensors) for tensors in kept.values()])
    return tuple(kept), torch.stack([square.sum() for square in squares]).sqrt()

"""Check the metrics that `--keys` names against those of a run."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import UserError, nearest
from engine.journal.task_meta import LAYER_PREFIX


def known_keys(keys: Sequence[str], known: Sequence[str], run: str) -> Sequence[str]:
    """Return `keys` if all are in `known`. Raises UserError for an empty list, and with the nearest match."""
    if not keys:
        raise UserError(f"--keys names no metric: give some of {_listed(known)}")
    unknown = next((key for key in keys if key not in known), None)
    if unknown is None:
        return keys
    match = nearest(unknown, known)
    remedy = f"did you mean {match!r}?" if match else f"there are {_listed(known)}"
    raise UserError(f"the run {run!r} has no metric {unknown!r}: {remedy}")


def _listed(known: Sequence[str]) -> str:
    """Return the names in one list. Those of single layers, often a thousand, are counted only."""
    names = sorted({key for key in known if not key.startswith(LAYER_PREFIX)})
    if num_layers := sum(key.startswith(LAYER_PREFIX) for key in known):
        names.append(f"{num_layers} of layers ({LAYER_PREFIX}NAME/grad_norm, ...)")
    return ", ".join(names) or "none yet"

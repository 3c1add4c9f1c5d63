"""Check the metrics that `--keys` names against those of a run."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import UserError, did_you_mean


def known_keys(keys: Sequence[str], known: Sequence[str], run: str) -> Sequence[str]:
    """Return `keys` if all are in `known`. Raises UserError for an empty list, and with the nearest match."""
    if not keys:
        raise UserError(f"--keys names no metric: give some of {', '.join(known) or 'none yet'}")
    for key in keys:
        if key not in known:
            raise UserError(f"the run {run!r} has no metric {key!r}: {did_you_mean(key, known)}")
    return keys

"""The metrics that `--keys` names, checked against those that a run has."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import UserError, did_you_mean


def known_keys(keys: Sequence[str], known: Sequence[str], run: str) -> Sequence[str]:
    """`keys`, all of which are in `known`. Raises UserError for none at all, and with the nearest match."""
    if not keys:
        raise UserError(f"--keys names no metric: give some of {', '.join(known) or 'none yet'}")
    for key in keys:
        if key not in known:
            raise UserError(f"the run {run!r} has no metric {key!r}: {did_you_mean(key, known)}")
    return keys

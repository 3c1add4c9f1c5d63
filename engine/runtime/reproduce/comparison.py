"""Compare two runs bit by bit: their metrics by step, and the weights of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.journal.reader import JournalReader
from engine.journal.series import Series
from engine.outputs.reproduction_report import Difference
from engine.outputs.step_time import TIME
from engine.training.averaging import AVERAGED
from engine.training.checkpoint.file import CheckpointDamagedError, list_checkpoints, load_checkpoint

BY_THE_CLOCK = ("samples_per_second", "data_wait")
"""Metrics of the machine instead of the training, in addition to `system/...` and `time/...`."""


def compare_traces(recorded: Path, redriven: Path) -> tuple[Difference | None, int, int]:
    """Return the first difference along the newest lineages, and the number of compared steps and metrics."""
    with closing(JournalReader(recorded)) as old, closing(JournalReader(redriven)) as new:
        names = [name for name in old.metric_names() if not _is_by_the_clock(name)]
        mine, theirs = old.series(names), new.series(names)
    found = [difference for name in names if (difference := _first_difference(name, mine, theirs)) is not None]
    first = min(found, key=lambda difference: difference.step, default=None)
    return first, int(mine.steps.size), len(names)


def _is_by_the_clock(name: str) -> bool:
    return name in BY_THE_CLOCK or name.startswith(("system/", TIME))


def _first_difference(name: str, recorded: Series, redriven: Series) -> Difference | None:
    mine, theirs = _values(name, recorded), _values(name, redriven)
    for step in sorted(mine.keys() | theirs.keys()):
        left, right = mine.get(step), theirs.get(step)
        if left is None or right is None or left.tobytes() != right.tobytes():
            return Difference(step, name, *(None if value is None else float(value) for value in (left, right)))
    return None


def _values(name: str, series: Series) -> dict[int, np.float32]:
    """Return the metric by step; every NaN has the same bits."""
    there = series.present[name]
    values = np.where(np.isnan(series.values[name]), np.float32(np.nan), series.values[name])
    return dict(zip(series.steps[there].tolist(), values[there], strict=True))


def compare_weights(recorded: Path, redriven: Path) -> tuple[str, str]:
    """Return the newest common checkpoint and its first differing tensor, an empty string each if there is none."""
    theirs = {path.name for path in list_checkpoints(redriven)}
    for path in reversed(list_checkpoints(recorded)):
        if path.name in theirs:
            try:
                left, right = load_checkpoint(path), load_checkpoint(redriven / path.name)
            except CheckpointDamagedError:
                continue
            return path.name, next(_differing(left, right), "")
    return "", ""


def _differing(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of weights, moments and averaged weights that are not bit-identical."""
    for kind in ("model", "moments", AVERAGED):
        mine, theirs = (dict(_flat(kind, payload.get(kind) or {})) for payload in (left, right))
        names = sorted(mine.keys() | theirs.keys())
        yield from (n for n in names if n not in mine or n not in theirs or not _same(mine[n], theirs[n]))


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:  # `Any`: a checkpoint's values have no common type
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, held in value.items():
        yield from _flat(f"{name}.{key}", held)


def _bytes_of(value: torch.Tensor) -> torch.Tensor:
    return value.contiguous().reshape(-1).view(torch.uint8)


def _same(left: Any, right: Any) -> bool:
    if not (isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor)):
        return bool(left == right)
    is_alike = (left.shape, left.dtype) == (right.shape, right.dtype)
    return is_alike and torch.equal(_bytes_of(left), _bytes_of(right))

"""Reproduce a recorded run and compare the two bit by bit.

The recorded interventions take effect at their original steps. The guardian and the autopilot of the new run are
inactive. Metrics that depend on the clock are not compared.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.config.load import read_resolved
from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS, CONFIG_FILE, create_run, discard_run
from engine.journal.reader import JournalReader
from engine.journal.series import Series
from engine.journal.task_meta import PARENT, Parent, parent_of
from engine.outputs.reproduction_report import Difference, ReproductionReport, ReproductionRequest
from engine.outputs.step_time import TIME
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.reproduce.timeline import Timeline, read_segments
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.training.averaging import AVERAGED
from engine.training.checkpoint.file import CheckpointDamagedError, list_checkpoints, load_checkpoint
from engine.training.device import choose_device

BY_THE_CLOCK = ("samples_per_second", "data_wait")
"""Metrics of the machine instead of the training, in addition to `system/...` and `time/...`."""


def reproduce(request: ReproductionRequest, interrupt: Interrupt) -> ReproductionReport:
    """Train the run again and compare.

    Raises UserError if the journal lacks the conditions, or the data are missing.
    """
    began = time.perf_counter()
    segments = read_segments(request.run_dir)
    first = segments[0].conditions
    choose_device(first.device)
    directory = create_run(request.runs_dir, request.name, stem=f"{request.run_dir.name}-redrive")
    notes = [_version_note(first.torch_version)]
    parent = _parent(request.run_dir, directory)
    try:
        ended_well = all(
            _drive(directory, segment, interrupt, resume=i > 0, parent=None if i else parent) == 0
            for i, segment in enumerate(segments)
        )
    except UserError:
        discard_run(directory)
        raise
    if not ended_well:
        notes.append(f"the redriven run failed or was interrupted; see {directory.name}'s console.log for the reason")
    difference, num_steps, num_metrics = compare_traces(request.run_dir, directory)
    checkpoint, tensor = compare_weights(request.run_dir / CHECKPOINTS, directory / CHECKPOINTS)
    if difference is not None or tensor:
        notes.append(kernels_note(first.device, read_resolved(directory / CONFIG_FILE)))
    return ReproductionReport(
        run=request.run_dir.name,
        directory=str(directory),
        device=first.device,
        threads=first.threads,
        num_redone=sum(item.actor != "redrive" for segment in segments for item in segment.past),
        num_steps=num_steps,
        num_metrics=num_metrics,
        difference=difference,
        checkpoint=checkpoint,
        tensor=tensor,
        notes=tuple(note for note in notes if note),
        seconds=time.perf_counter() - began,
    )


def _version_note(recorded: str) -> str:
    if recorded == torch.__version__:
        return ""
    return f"recorded by torch {recorded}, redriven by {torch.__version__}: this alone may change bits"


def kernels_note(device: str, config: RunConfig) -> str:
    """Return why a run on `device` may differ although nothing is wrong; an empty string if it may not."""
    if device == "cpu" or config.training.deterministic:
        return ""
    return f"default kernels of {device} add in any order: set training.deterministic for a run to be reproduced"


def _parent(run_dir: Path, directory: Path) -> Parent | None:
    """Return the parent of the recorded run as that of the new one in `directory`; `None` for a run without one."""
    with closing(JournalReader(run_dir)) as reader:
        parent = parent_of(reader.meta(PARENT))
    return parent and Parent.at(parent.path(run_dir), parent.step, parent.checkpoint, child=directory)


def _drive(
    directory: Path, segment: Timeline, interrupt: Interrupt, *, resume: bool, parent: Parent | None = None
) -> int:
    conditions = segment.conditions
    (directory / CONFIG_FILE).write_text(conditions.config)
    request = RunRequest(
        directory=directory,
        config=_as_recorded(read_resolved(directory / CONFIG_FILE)),
        device=conditions.device,
        resume=resume,
        init_from="" if resume else conditions.init_from,
        past=segment.past,
        parent=parent,
    )
    with _threads(conditions.threads):
        return train(request, interrupt)


def _as_recorded(config: RunConfig) -> RunConfig:
    """Return the same configuration with more checkpoints kept for comparison, and without TensorBoard."""
    checkpoint = config.checkpoint.model_copy(update={"keep_last": config.checkpoint.keep_last + 3})
    tensorboard = config.tensorboard.model_copy(update={"enabled": False})
    return config.model_copy(update={"checkpoint": checkpoint, "tensorboard": tensorboard})


@contextmanager
def _threads(count: int) -> Generator[None]:
    """Set the number of threads in the block: sums over another number of threads differ in bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --- comparing ------------------------------------------------------------------------------


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
        for name in sorted(mine.keys() | theirs.keys()):
            if name not in mine or name not in theirs or not _same(mine[name], theirs[name]):
                yield name


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:  # `Any`: a checkpoint's values have no common type
    if isinstance(value, Mapping):
        for key, held in value.items():
            yield from _flat(f"{name}.{key}", held)
    else:
        yield name, value


def _bytes_of(value: torch.Tensor) -> torch.Tensor:
    return value.contiguous().reshape(-1).view(torch.uint8)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        if (left.shape, left.dtype) != (right.shape, right.dtype):
            return False
        return torch.equal(_bytes_of(left), _bytes_of(right))
    return bool(left == right)

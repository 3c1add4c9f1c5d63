"""Reproduce a recorded run and compare the two bit by bit.

The recorded interventions take effect at their original steps. The guardian and the autopilot of the new run are
inactive. Metrics that depend on the clock are not compared.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import torch

from engine.config.load import read_resolved
from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.journal.disk.new_run import create_run, discard_run
from engine.journal.disk.run_dir import CHECKPOINTS, CONFIG_FILE
from engine.journal.reader import JournalReader
from engine.journal.task_meta import PARENT, Parent, parent_of
from engine.outputs.reproduction_report import ReproductionReport, ReproductionRequest
from engine.protocol.commands import REDRIVE
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.reproduce.comparison import compare_traces, compare_weights
from engine.runtime.reproduce.timeline import Timeline, read_segments
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.training.device import choose_device


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
        num_redone=sum(item.actor != REDRIVE for segment in segments for item in segment.past),
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

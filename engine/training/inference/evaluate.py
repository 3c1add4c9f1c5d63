"""Evaluate a trained network on a data set: the task's metrics, and whatever the task examines sample by sample."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.outputs.inference.evaluation import EvaluationReport, EvaluationRequest, OnProgress, Split
from engine.task import Examiner, HasExaminer, ReportsProgress, Samples, Splits, Task, Tensors, untapped
from engine.training.data.batch import Batch, Position
from engine.training.data.stream import BatchStream
from engine.training.device import describe, thread_count
from engine.training.inference.trained_model import TrainedModel, open_trained
from engine.training.loss_sum import Objective
from engine.training.train_state import amp_dtype
from engine.training.validation.evaluate import Sums, summarise, sums_of
from engine.training.validation.result import ValidationPlan

_AS_TRAINED: Final = "training samples are drawn as for the first epoch of a training, with the task's augmentation"


def no_progress(what: str, done: int, total: int) -> None:
    """Show no progress."""


def evaluate(request: EvaluationRequest, on_progress: OnProgress = no_progress) -> EvaluationReport:
    """Measure the network of the request on its split, as a validation of the training does.

    Raises UserError if the checkpoint or the data cannot be used, or the pictures cannot be written.
    """
    began = time.perf_counter()
    trained = open_trained(request.source, device=request.device, weights=request.weights)
    task = trained.task
    config, request = _with_data(trained.config, request)
    objective, plan = Objective(task, config), _plan(trained, config, request)
    examiner = _examiner(task, config, request, on_progress)
    with thread_count(config.training.threads), torch.no_grad():
        sums = _sums(trained, objective, plan, examiner, on_progress)
        examination = examiner.finish(on_progress)
    seconds = time.perf_counter() - began
    measured = summarise(sums, objective, plan, seconds)
    return EvaluationReport(
        checkpoint=trained.checkpoint,
        step=trained.step,
        weights=trained.weights,
        device=describe(trained.device),
        data=config.data.path,
        split=examiner.split,
        sample_noun=task.spec.sample_noun,
        num_samples=sums.count,
        seconds=seconds,
        loss=measured.loss,
        terms=measured.terms,
        metrics=measured.summary.metrics,
        titles={metric.name: metric.title for metric in task.spec.metrics if metric.title},
        score=config.validation.score or task.spec.score,
        examination=examination,
        notes=examiner.notes,
    )


def _with_data(config: RunConfig, request: EvaluationRequest) -> tuple[RunConfig, EvaluationRequest]:
    """Return the configuration with the request's data; the request then names none if they are the training's own."""
    own = config.data.path
    if not request.data or (own and Path(request.data).resolve() == Path(own).resolve()):
        return config, replace(request, data="")
    data = config.data.model_copy(update={"path": request.data})
    return config.model_copy(update={"data": data}), request


def _plan(trained: TrainedModel, config: RunConfig, request: EvaluationRequest) -> ValidationPlan:
    return ValidationPlan(
        active=trained.components,
        weights=trained.loss_weights,
        batch_size=request.batch_size or config.validation.batch_size,
        num_previews=0,
        amp=amp_dtype(config),
    )


def _examiner(task: Task, config: RunConfig, request: EvaluationRequest, on_progress: OnProgress) -> Examiner:
    """Return the task's own examiner, or one that only yields the samples of the splits."""
    if isinstance(task, HasExaminer):
        return task.examiner(config, request, on_progress)

    def say(text: str) -> None:
        on_progress(text, 0, 0)

    splits = task.open_data_with(config, say) if isinstance(task, ReportsProgress) else task.open_data(config)
    return PlainExaminer(splits, request.split or "val")


def _sums(
    trained: TrainedModel, objective: Objective, plan: ValidationPlan, examiner: Examiner, on_progress: OnProgress
) -> Sums:
    """Return the sums over the split, in the order and the batches of a validation. Raises UserError for no sample."""
    sums, noun = Sums.of(objective, plan), f"{objective.task.spec.sample_noun}s"
    for tensors, sample_ids in examiner.batches(plan.batch_size):
        batch = Batch(tensors, sample_ids, Position(), ends_epoch=False).to(trained.device)
        outputs = objective.outputs(trained.model, batch.tensors, plan.active, untapped, plan.amp)
        sums.add(sums_of(objective, outputs, batch, plan))
        examiner.add(outputs, batch.tensors)
        on_progress(noun, sums.count, len(examiner))
    if not sums.count:
        raise UserError(f"no {objective.task.spec.sample_noun} of the {examiner.split} split can be used")
    return sums


class PlainExaminer:
    """Yields the samples of any task's splits, and measures nothing more than the task's metrics."""

    def __init__(self, splits: Splits, split: Split) -> None:
        self.split: Split = split
        self._parts = {"train": (splits.train,), "val": (splits.val,), "all": (splits.train, splits.val)}[split]
        self.notes = (*splits.notes, *(() if split == "val" else (_AS_TRAINED,)))

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def batches(self, batch_size: int) -> Iterator[tuple[Tensors, tuple[str, ...]]]:
        """Yield each part's samples in batches."""
        for part in filter(len, self._parts):
            yield from _batches(part, batch_size)

    def add(self, outputs: Any, batch: Tensors) -> None:
        """Measure nothing."""

    def finish(self, on_progress: OnProgress) -> None:
        """Return `None`: there is nothing but the metrics."""


def _batches(samples: Samples, batch_size: int) -> Iterator[tuple[Tensors, tuple[str, ...]]]:
    """Yield the samples of one epoch in batches, which a thread assembles ahead."""
    with closing(BatchStream(samples, batch_size=batch_size)) as stream:
        is_last = False
        while not is_last:
            batch = stream.next()
            yield batch.tensors, batch.sample_ids
            is_last = batch.ends_epoch

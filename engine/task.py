"""The interface between the engine and a task: samples, loss terms, scores and optional abilities.

This module does not import torch at run time, so that data can be inspected without it. Networks and losses pass each
shared tensor through a `Tap`, which lets the engine measure the gradient of a single consumer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from engine.config.task.task_class import task_class
from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.outputs.inference.evaluation import EvaluationRequest, Examiner, OnProgress
from engine.outputs.inference.prediction import Predictor, PredictRequest
from engine.outputs.inference.prediction import Prepared as Prepared  # noqa: PLC0414 - tasks import it from here
from engine.protocol.record import record
from engine.protocol.task_spec import TaskSpec

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from engine.outputs.preview_file import Preview

Tensors = Mapping[str, "Tensor"]
"""Tensors of a batch by name; the first axis of each counts the N samples."""

Tap = Callable[[str, "Tensor"], "Tensor"]
"""Takes a consumer's name and the tensor that it reads; returns the same values, which the consumer reads instead."""


def untapped(consumer: str, read: Tensor) -> Tensor:
    """Return `read` unchanged: measure nothing."""
    return read


@record
class Rejection:
    """Data in `file` that could not be used, and the reason; another sample replaced them."""

    file: str
    error: str


@record
class Doubt:
    """Data in `file` that are used although they may be wrong; `message` gives an example."""

    file: str
    message: str


class UnusableSample(Exception):
    """Raised if a file or a sample in it cannot be used.

    The message is the reason, one sentence without a full stop.
    """


class UnreachableSample(UnusableSample):
    """Raised if a file is missing or unreadable. The content of the file remains unknown."""


class DataGoneError(UserError):
    """Raised if the whole data set is unreachable, for example because its disk was unmounted. It may return."""


@record
class Sample:
    """One sample: tensors by name, without the batch axis. Events name it by `sample_id`."""

    tensors: Tensors
    sample_id: str
    rejections: tuple[Rejection, ...] = ()


class Samples(Protocol):
    """Samples by epoch and index. Equal arguments return equal bits in every process."""

    def __len__(self) -> int: ...

    def sample(self, epoch: int, index: int) -> Sample:
        """Return the sample at `index` of `epoch`."""
        ...


def draws_random_numbers(samples: Samples) -> bool:
    """Return whether samples draw from the global random generators.

    Such samples must not be loaded in a thread next to the training.
    """
    return bool(getattr(samples, "draws_random_numbers", False))


def sample_id_at(samples: Samples, epoch: int, index: int) -> str:
    """Return the name of the sample at a place, or of its file, without reading it; an empty string for unknown."""
    known: Callable[[int, int], str] | None = getattr(samples, "sample_id_at", None)
    return known(epoch, index) if known else ""


def fingerprint_of(samples: Samples) -> str:
    """Return a text that changes with the content of the samples, where they can tell; else an empty string."""
    known: Callable[[], str] | None = getattr(samples, "fingerprint", None)
    return known() if known else ""


@record
class Splits:
    """Training and validation samples, with the rejected and the doubtful files of each."""

    train: Samples
    val: Samples
    problems: tuple[Rejection, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    notes: tuple[str, ...] = ()


# `Any`: each task has its own subclass of the configuration and its own type of outputs.
class Task(Protocol):
    """A training task: its data, network, losses and scores. No method keeps state between steps."""

    spec: TaskSpec
    Config: type[RunConfig]

    def open_data(self, config: Any) -> Splits:
        """Return both splits. Raises UserError if there are no samples to train on."""
        ...

    def build_model(self, config: Any) -> nn.Module:
        """Return the network; its `named_children` are the parts that are monitored.

        A part with a component's name belongs to that component.
        """
        ...

    def forward(self, model: nn.Module, batch: Tensors, active: frozenset[str], tap: Tap) -> Any:
        """Return the network's outputs with the components `active` switched on.

        Consumers read shared tensors through `tap`.
        """
        ...

    def losses(self, outputs: Any, batch: Tensors, terms: tuple[str, ...], config: Any, tap: Tap) -> dict[str, Tensor]:
        """Return each of `terms` as a float32 scalar: a mean over the N samples.

        The values are neither weighted nor clamped. The method must not synchronize with the device.
        """
        ...

    def score(self, outputs: Any, batch: Tensors, config: Any) -> Tensors:
        """Return sums over the batch, from which `metrics` computes the scores.

        The sums of several batches are added up.
        """
        ...

    def metrics(self, sums: Tensors, count: int) -> dict[str, float]:
        """Return each of `spec.metrics` from the sums over `count` samples; NaN for a metric without a value."""
        ...


@runtime_checkable
class ReportsProgress(Protocol):
    """A task whose data take long to open."""

    def open_data_with(self, config: Any, on_progress: Callable[[str], None]) -> Splits:
        """Return both splits, and report progress through `on_progress` while reading."""
        ...


@runtime_checkable
class HasBaseline(Protocol):
    """A task that knows the loss of the best constant answer, which ignores its input."""

    def blind(self, batch: Tensors, config: Any) -> dict[str, tuple[float, ...]]:
        """Return the raw value of each loss term for that answer, one value per group of samples."""
        ...


@runtime_checkable
class HasChance(Protocol):
    """A task that knows the loss of an uninformed network."""

    def chance(self, batch: Tensors, config: Any) -> dict[str, float]:
        """Return the raw value of each loss term for an uninformed network."""
        ...


@runtime_checkable
class HasPreviews(Protocol):
    """A task whose validation samples can be shown as pictures."""

    def preview(self, outputs: Any, batch: Tensors, sample_id: str, row: int) -> Preview:
        """Return the preview of the sample in `row` of a batch."""
        ...

    def preview_grid(self, previews: tuple[Preview, ...]) -> NDArray[np.uint8]:
        """Return one picture of all `previews`: (H, W, 3), 0..255."""
        ...


@runtime_checkable
class HasSampleErrors(Protocol):
    """A task that measures how wrong its answer to each validation sample is; the preview tab shows the worst first."""

    def sample_errors(self, outputs: Any, batch: Tensors, config: Any) -> Tensor:
        """Return the error of each sample: (N,), larger for a worse answer, NaN for a sample without one."""
        ...


@record
class ExportPlan:
    """Inputs of an exported network, and its description for the programs that use it.

    `inputs` are the tensors of a batch that `forward` reads, two samples each, as an example. `names` gives them other
    names in the file. `metadata` is JSON: how an application makes the inputs, and how it uses the outputs.
    """

    inputs: Tensors
    metadata: Mapping[str, Any]
    names: Mapping[str, str] = field(default_factory=dict[str, str])


@runtime_checkable
class CanExport(Protocol):
    """A task whose network can be exported to ONNX and TorchScript."""

    def export_plan(self, config: Any) -> ExportPlan:
        """Return the inputs of the exported network, and its description."""
        ...

    def export_outputs(self, outputs: Any) -> Tensors:
        """Return the outputs that an application needs, by name. The second axis of the first counts the classes."""
        ...


@record
class Inspection:
    """The content of a data directory in plain lines; `is_usable` is whether a run can train on it."""

    lines: tuple[str, ...]
    is_usable: bool


@runtime_checkable
class HasInspect(Protocol):
    """A task that can inspect a data directory without training."""

    def inspect(
        self, path: Path, *, pictures: Path | None, options: Mapping[str, bool], on_progress: Callable[[str], None]
    ) -> Inspection:
        """Return the content of the directory `path`; write samples as images to `pictures` unless it is `None`.

        `options` are the task's own switches, such as 'use_crowds'. Unknown options are ignored. Raises UserError if
        there is nothing to inspect.
        """
        ...


@record
class Statistics:
    """Numbers about a data directory: as plain lines, and as a dataclass that can be written as JSON."""

    lines: tuple[str, ...]
    values: Any


@runtime_checkable
class HasStatistics(Protocol):
    """A task that can measure a data directory."""

    def statistics(self, path: Path, *, options: Mapping[str, bool], on_progress: Callable[[str], None]) -> Statistics:
        """Return the statistics of the directory `path`. `options` are those of `inspect`.

        Raises UserError if there is nothing to measure.
        """
        ...


@runtime_checkable
class CanPredict(Protocol):
    """A task whose network can be used on images without labels."""

    def predictor(self, config: Any, request: PredictRequest) -> Predictor:
        """Return the predictor of a request. Raises UserError if there is nothing to predict, before it writes."""
        ...


@runtime_checkable
class HasExaminer(Protocol):
    """A task whose samples can be evaluated one by one."""

    def examiner(self, config: Any, request: EvaluationRequest, on_progress: OnProgress) -> Examiner:
        """Return the examiner of a request. `config` names the data; `request.data` is empty for the training's own.

        Raises UserError if there is no usable sample.
        """
        ...


def load_task(where: str = "") -> Task:
    """Return the task of the class at `where`.

    `where` is `package.module:Class`, `FILE.py:Class`, or an empty string for the default task. Raises UserError if the
    class does not exist, lacks a member, has a contradictory spec or Config, or cannot be made.
    """
    made = task_class(where)
    try:
        task: Task = made()
    except Exception as error:  # a task's own code may raise anything
        trace = error.__traceback__
        if isinstance(error, TypeError) and trace is not None and trace.tb_next is None:  # the call itself failed
            raise UserError(f"the task {where!r} cannot be made: {error}; its class takes no arguments") from error
        raise UserError(
            f"the task {where!r} cannot be made: its __init__ raises {type(error).__name__}: {error}"
        ) from error
    return task

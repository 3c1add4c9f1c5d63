"""The seam between the engine and what it trains: samples, loss terms and scores as a task supplies them.

Free of torch at run time, so that data can be inspected without it. The network and the losses ask a `Tap` for what a
consumer shall read, which is where the gradient of single consumers can be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from engine.config.task_class import task_class
from engine.config.tree import RunConfig
from engine.errors import UserError
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
"""Given a consumer's name and the tensor that it is about to read: the same values to read instead."""


def untapped(consumer: str, read: Tensor) -> Tensor:
    """Return `read` itself: nothing is measured."""
    return read


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something in `file` that could not be used, and why; another sample took its place."""

    file: str
    error: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """Data in `file` that are used although they may not mean what they say; `message` names an example."""

    file: str
    message: str


class UnusableSample(Exception):
    """A file or a sample in it cannot be used; the message says why in one sentence without a full stop."""


class UnreachableSample(UnusableSample):
    """A file is missing or the system cannot read it: this says nothing about what is in it."""


class DataGoneError(UserError):
    """The data set as a whole cannot be reached, as when its disk was unmounted; it may come back."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample: tensors by name, without the axis that counts samples; `sample_id` names it in events."""

    tensors: Tensors
    sample_id: str
    rejections: tuple[Rejection, ...] = ()


class Samples(Protocol):
    """Samples by epoch and place; equal arguments give equal bits, in any process."""

    def __len__(self) -> int: ...

    def sample(self, epoch: int, index: int) -> Sample:
        """Return the sample at place `index` of `epoch`."""
        ...


def draws_random_numbers(samples: Samples) -> bool:
    """Return whether samples draw from the global generators, which a data thread must not do beside the training."""
    return bool(getattr(samples, "draws_random_numbers", False))


def sample_id_at(samples: Samples, epoch: int, index: int) -> str:
    """Return the name of the sample at a place, or of its file, without reading it; an empty string for unknown."""
    known: Callable[[int, int], str] | None = getattr(samples, "sample_id_at", None)
    return known(epoch, index) if known else ""


@dataclass(frozen=True, slots=True)
class Splits:
    """Training and validation samples, and what was wrong with the files they come from or is doubted in them."""

    train: Samples
    val: Samples
    problems: tuple[Rejection, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    notes: tuple[str, ...] = ()


# A configuration is the task's own subclass of the generic tree, and what a network returns is its own affair:
# hence Any.
class Task(Protocol):
    """What is trained: its data, network, losses and scores. No member keeps state between steps."""

    spec: TaskSpec
    Config: type[RunConfig]

    def open_data(self, config: Any) -> Splits:
        """Return both splits. Raises UserError where there is nothing to train on."""
        ...

    def build_model(self, config: Any) -> nn.Module:
        """Return the network; its `named_children` are the parts that are monitored.

        A part that bears a component's name belongs to that component.
        """
        ...

    def forward(self, model: nn.Module, batch: Tensors, active: frozenset[str], tap: Tap) -> Any:
        """Return the network's outputs while the components `active` are on; they read shared tensors through `tap`."""
        ...

    def losses(self, outputs: Any, batch: Tensors, terms: tuple[str, ...], config: Any, tap: Tap) -> dict[str, Tensor]:
        """Return each of `terms`: float32 scalars, each a mean over the N samples.

        They are neither weighted nor clamped here, and nothing may wait for the device.
        """
        ...

    def score(self, outputs: Any, batch: Tensors, config: Any) -> Tensors:
        """Return sums over the batch from which `metrics` makes the scores; those of several batches are added up."""
        ...

    def metrics(self, sums: Tensors, count: int) -> dict[str, float]:
        """Return each of `spec.metrics` from the sums over `count` samples; NaN for one that has no value."""
        ...


@runtime_checkable
class ReportsProgress(Protocol):
    """A task whose data take a while to open."""

    def open_data_with(self, config: Any, on_progress: Callable[[str], None]) -> Splits:
        """Return both splits, and say meanwhile through `on_progress` what is being read."""
        ...


@runtime_checkable
class HasBaseline(Protocol):
    """A task that knows what the best answer costs that does not look at its input."""

    def blind(self, batch: Tensors, config: Any) -> dict[str, tuple[float, ...]]:
        """Return the raw value of each loss term for that answer, in several groups of samples."""
        ...


@runtime_checkable
class HasChance(Protocol):
    """A task that knows what an uninformed network scores."""

    def chance(self, batch: Tensors, config: Any) -> dict[str, float]:
        """Return the raw value of each loss term for a network that knows nothing."""
        ...


@runtime_checkable
class HasPreviews(Protocol):
    """A task whose validation samples can be looked at."""

    def preview(self, outputs: Any, batch: Tensors, sample_id: str, row: int) -> Preview:
        """Return what is shown of the sample in `row` of a batch."""
        ...

    def preview_grid(self, previews: tuple[Preview, ...]) -> NDArray[np.uint8]:
        """Return one picture of all `previews`, (H, W, 3) in 0..255."""
        ...


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a directory of data holds, in plain lines; `is_usable` says whether a run can train on it."""

    lines: tuple[str, ...]
    is_usable: bool


@runtime_checkable
class HasInspect(Protocol):
    """A task that can look into a directory of data without training on it."""

    def inspect(
        self, path: Path, *, pictures: Path | None, options: Mapping[str, bool], on_progress: Callable[[str], None]
    ) -> Inspection:
        """Return what is in the directory `path`; with `pictures`, samples are written there as images.

        `options` are the task's own switches, such as 'use_crowds'; those that it does not know it ignores.
        Raises UserError where there is nothing to inspect.
        """
        ...


def load_task(where: str = "") -> Task:
    """Return the task of the class at `where`: `package.module:Class` or `FILE.py:Class`, '' for the default task.

    Raises UserError where there is none, where it lacks a member, and where its spec contradicts itself.
    """
    try:
        task: Task = task_class(where)()
    except TypeError as error:
        raise UserError(f"the task {where!r} cannot be made: {error}; its class takes no arguments") from error
    return task

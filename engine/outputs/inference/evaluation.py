"""What `main.py eval` measures: the request, a task's part in it, and the report with every number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from engine.protocol.record import record

if TYPE_CHECKING:
    from torch import Tensor

Split = Literal["train", "val", "all"]
SPLITS: Final[tuple[Split, ...]] = ("val", "train", "all")
Cell = str | float | int | None
"""A number or a name in a row; `None` for no value."""

OnProgress = Callable[[str, int, int], None]
"""Receives what is counted, how many are done, and how many there are; 0 if that is unknown."""


@record
class EvaluationRequest:
    """An evaluation of the network of `source`, a checkpoint or a run's directory.

    `data` replaces the data of the training, unless it is empty. `split` of `None` leaves the choice to the task.
    `weights` of `None` takes averaged weights if there are any. A `batch_size` of 0 is that of the validation. Pictures
    of the `num_worst` worst samples are written to `pictures`, unless that is `None`.
    """

    source: Path
    data: str = ""
    split: Split | None = None
    weights: Literal["averaged", "trained"] | None = None
    batch_size: int = 0
    device: str = "auto"
    pictures: Path | None = None
    num_worst: int = 0


@record
class EvaluatedGroup:
    """The `count` samples of a group, and the numbers over them by name."""

    name: str
    count: int
    numbers: Mapping[str, float]


@record
class Examination:
    """What a task that examines sample by sample adds: numbers by group, rows, pictures, and what was left out.

    The first group is the whole split. `references` are answers to compare with, such as a constant one. `titles` are
    those of numbers that are no metrics of the spec. `rows` has one per sample, `files` one per file of the data.
    """

    groups: tuple[EvaluatedGroup, ...]
    references: tuple[EvaluatedGroup, ...]
    titles: Mapping[str, str]
    rows: tuple[Mapping[str, Cell], ...]
    files: tuple[Mapping[str, Cell], ...]
    pictures: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()


class Examiner(Protocol):
    """One evaluation of a task: yields the samples of a split, and measures the network's answers one by one."""

    split: Split
    notes: tuple[str, ...]

    def __len__(self) -> int: ...

    def batches(self, batch_size: int) -> Iterator[tuple[Mapping[str, Tensor], tuple[str, ...]]]:
        """Yield the samples in batches on the CPU, with their names. Unusable samples are left out."""
        ...

    def add(self, outputs: Any, batch: Mapping[str, Tensor]) -> None:
        """Measure the network's outputs for the batch that was yielded last."""
        ...

    def finish(self, on_progress: OnProgress) -> Examination | None:
        """Return the numbers of samples and groups, `None` if there are none, after the pictures were written.

        Raises UserError if writing fails.
        """
        ...


@record
class EvaluationReport:
    """The evaluation of a checkpoint's `weights` after `step` steps on a split of `data`.

    An empty `data` is the task's built-in data. `metrics` are the task's, with their `titles`; `score` names the one
    that decided on the best checkpoint. `examination` is `None` if the task cannot examine samples one by one.
    """

    checkpoint: Path
    step: int
    weights: str
    device: str
    data: str
    split: Split
    sample_noun: str
    num_samples: int
    seconds: float
    loss: float
    terms: Mapping[str, float]
    metrics: Mapping[str, float]
    titles: Mapping[str, str]
    score: str
    examination: Examination | None = None
    notes: tuple[str, ...] = field(default=())

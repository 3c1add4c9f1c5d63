"""What `main.py predict` does: the request, a task's part in it, the result of each image, and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from engine.protocol.record import record

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Four = tuple[float, float, float, float]


@record
class GivenBoxes:
    """The boxes of a prediction: those of a file, and those for all images as (left, top, width, height).

    `image_list` is a COCO file whose images list names the image ids of `file`, or `None`. `category` is the person's
    id in `file`; an empty string for the usual one. Boxes with a score below `min_score` are left out.
    """

    file: Path | None = None
    image_list: Path | None = None
    for_all: tuple[Four, ...] = ()
    category: str = ""
    min_score: float = 0.0


@record
class PredictRequest:
    """A prediction by the network of `source`, a checkpoint or a run's directory, for images and directories of them.

    Results go to `output`, which must be new or empty without `force`. A pixel belongs to a mask from the
    probability `threshold` on; with `None`, if its class is the most probable one. `with_masks` writes each mask.
    `weights` of `None` takes averaged weights if there are any.
    """

    source: Path
    images: tuple[Path, ...]
    boxes: GivenBoxes
    output: Path
    force: bool = False
    threshold: float | None = None
    with_masks: bool = False
    weights: Literal["averaged", "trained"] | None = None
    batch_size: int = 32
    device: str = "auto"


@record
class ImageResult:
    """One finished image: its name, the number of masks, the overlay, and what could not be used, in sentences.

    `overlay` is `None` if the image could not be read.
    """

    name: str
    num_masks: int
    overlay: Path | None
    problems: tuple[str, ...] = ()


@record
class Prepared:
    """The samples of one image, ready for the network, and whatever `Predictor.write` needs of the image."""

    tensors: Mapping[str, Tensor]
    count: int
    content: Any


class Predictor(Protocol):
    """One prediction of a task: reads images, and writes the network's answers.

    `read`, `answers` and `write` are called in several threads at a time, all else in that of the caller. `notes` are
    sentences on what was left out on purpose.
    """

    names: tuple[str, ...]
    notes: tuple[str, ...]

    def read(self, index: int) -> Prepared:
        """Return the samples of the image `names[index]`. Raises UnusableSample if it cannot be read."""
        ...

    def answers(self, outputs: Any) -> NDArray[Any]:
        """Return the network's answers for a batch in the host's memory: the first axis counts its samples."""
        ...

    def write(self, index: int, prepared: Prepared, answers: Sequence[NDArray[Any]]) -> Any:
        """Write the files of an image. The result is passed to `record`. Raises OSError."""
        ...

    def record(self, index: int, written: Any) -> ImageResult:
        """Record the result of `write`. The calls are in the order of the images."""
        ...

    def finish(self) -> Path:
        """Return the file of all results, after it was completed. Raises OSError."""
        ...

    def cancel(self) -> None:
        """Remove what is incomplete; do nothing after `finish`."""
        ...


OnImage = Callable[[ImageResult, int, int], None]
"""Takes a finished image, its number from 1 and the number of all images."""


@record
class PredictReport:
    """A finished prediction.

    `num_images` counts those with a mask. `seconds` is the time from the first image to the last file, and
    `network_seconds` the network's part of it. `notes` are sentences on what was left out on purpose.
    """

    checkpoint: Path
    step: int
    weights: str
    device: str
    num_images: int
    num_masks: int
    seconds: float
    network_seconds: float
    output: Path
    results: Path
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

"""Images on their way through the network, and the batches that their samples share."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch

from engine.task import Prepared, Tensors


@dataclass(slots=True)
class Image:
    """An image on its way: its samples, the number given to the network, and the answers so far.

    `prepared` is `None` if it could not be read.
    """

    index: int
    prepared: Prepared | None
    problem: str = ""
    num_asked: int = 0
    answers: list[Any] = field(default_factory=list[Any])
    written: Future[Any] | None = None


@dataclass(slots=True)
class Share:
    """The samples `start` to `stop` of an image in a batch."""

    image: Image
    prepared: Prepared
    start: int
    stop: int


def is_open(image: Image) -> bool:
    """Return whether an image has samples that are in no batch."""
    return image.prepared is not None and image.num_asked < image.prepared.count


def is_answered(image: Image) -> bool:
    """Return whether an image has all of its answers."""
    return image.prepared is None or len(image.answers) == image.prepared.count


def is_written(image: Image) -> bool:
    """Return whether the files of an image are written."""
    return image.written is None or image.written.done()


def joined(shares: Sequence[Share]) -> Tensors:
    """Return the samples of several images as one batch."""
    rows = {
        name: [share.prepared.tensors[name][share.start : share.stop] for share in shares]
        for name in shares[0].prepared.tensors
    }
    return {name: parts[0] if len(parts) == 1 else torch.cat(parts) for name, parts in rows.items()}

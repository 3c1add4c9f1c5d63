"""Records of a run as TensorBoard's messages."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.event_pb2 import (
    Event,  # pyright: ignore[reportAttributeAccessIssue]  # created at import of the generated module, as all below
    SessionLog,  # pyright: ignore[reportAttributeAccessIssue]
    SourceMetadata,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.compat.proto.summary_pb2 import (
    HistogramProto,  # pyright: ignore[reportAttributeAccessIssue]
    Summary,  # pyright: ignore[reportAttributeAccessIssue]
)

from engine.outputs.inspection.layer_histograms import Histogram, LayerHistograms
from engine.protocol.record import record


@record
class Scalars:
    """The metrics of a step or a validation."""

    wall_time: float
    step: int
    names: tuple[str, ...]
    values: tuple[float, ...]


@record
class Picture:
    """One picture."""

    wall_time: float
    step: int
    tag: str
    image_HWC: NDArray[np.uint8]


@record
class Branch:
    """The step from which a branch continues."""

    wall_time: float
    step: int


@record
class Histograms:
    """The histograms of a layer, with its name as the tag."""

    wall_time: float
    step: int
    tag: str
    taken: LayerHistograms


Record = Scalars | Picture | Branch | Histograms


class Encoder:
    """Converts records into serialized Event messages, and reuses one message per set of metric names."""

    def __init__(self) -> None:
        self._scalars: dict[tuple[str, ...], Any] = {}  # the generated messages have no stubs

    def encode(self, record: Record) -> bytes:
        """Return the message of a record."""
        match record:
            case Scalars():
                event = self._filled(record)
            case Picture():
                event = Event(summary=Summary(value=[_picture_value(record)]))
            case Histograms():
                event = Event(summary=Summary(value=_histogram_values(record)))
            case Branch():
                event = Event(session_log=SessionLog(status=SessionLog.START))
        event.wall_time = record.wall_time
        event.step = record.step
        return event.SerializeToString()

    def _filled(self, record: Scalars) -> Any:
        event = self._scalars.get(record.names)
        if event is None:
            event = Event(summary=Summary(value=[Summary.Value(tag=name) for name in record.names]))
            self._scalars[record.names] = event
        for slot, value in zip(event.summary.value, record.values, strict=True):
            slot.simple_value = value
        return event


def version_event() -> bytes:
    """Return the first message of a file."""
    source = SourceMetadata(writer="training-cockpit")
    return Event(wall_time=time.time(), file_version="brain.Event:2", source_metadata=source).SerializeToString()


def _picture_value(record: Picture) -> Any:
    height, width, channels = record.image_HWC.shape
    buffer = io.BytesIO()
    Image.fromarray(record.image_HWC.squeeze(2) if channels == 1 else record.image_HWC).save(buffer, "PNG")
    image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=buffer.getvalue())
    return Summary.Value(tag=record.tag, image=image)


def _histogram_values(record: Histograms) -> list[Any]:
    """Return a value of each kind of histogram that has finite values; values that are not are left out."""
    return [
        Summary.Value(tag=f"{kind}/{record.tag}", histo=_proto_of(found))
        for kind, found in record.taken.kinds()
        if found is not None and found.count > found.nans + found.infinities
    ]


def _proto_of(found: Histogram) -> Any:
    """Return TensorBoard's form of a histogram, whose parts end at given limits."""
    width = (found.high - found.low) / len(found.bins)
    limits = [found.low + width * number for number in range(1, len(found.bins))]
    num = sum(found.bins)
    return HistogramProto(
        min=found.low,
        max=found.high,
        num=num,
        sum=found.mean * num,
        sum_squares=found.sum_of_squares,
        bucket_limit=[*limits, found.high],
        bucket=found.bins,
    )

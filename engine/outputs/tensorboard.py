"""A run's TensorBoard log: scalars, previews and notes, encoded and written in a separate thread."""

from __future__ import annotations

import io
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import Any, Final

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
from engine.outputs.tfevents import EventFile
from engine.protocol.record import record

_LOG: Final = logging.getLogger(__name__)
_SECONDS_BETWEEN_WRITES: Final = 0.25
_SECONDS_TO_CLOSE: Final = 10.0


@record
class _Scalars:
    wall_time: float
    step: int
    names: tuple[str, ...]
    values: tuple[float, ...]


@record
class _Picture:
    wall_time: float
    step: int
    tag: str
    image_HWC: NDArray[np.uint8]


@record
class _Branch:
    wall_time: float
    step: int


@record
class _Histograms:
    wall_time: float
    step: int
    tag: str
    taken: LayerHistograms


_Record = _Scalars | _Picture | _Branch | _Histograms


class TensorboardWriter:
    """Writes one event file under `log_dir`. Every call returns in microseconds, and none raises OSError.

    Only steps divisible by `every_steps` are recorded; validations and images always are. At most `max_waiting`
    records wait for the thread; further ones are dropped and counted in `dropped`.
    """

    def __init__(self, log_dir: Path, *, every_steps: int = 1, max_waiting: int = 8192) -> None:
        self.failure: str | None = None
        """Why the last write failed, or `None`."""
        self._every_steps = every_steps
        self._max_waiting = max_waiting
        self._num_refused = self._num_odd = 0
        self._waiting: deque[_Record] = deque()
        self._encoder = _Encoder()
        self._file = EventFile(log_dir, first=_version_event())
        self._closing = Signal()
        self._thread = Thread(target=self._work, name="tensorboard", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Number of records missing from the file: of a full queue, a failing disk, or without an encoding."""
        return self._num_refused + self._num_odd + self._file.num_dropped

    def record_step(self, step: int, names: tuple[str, ...], values: Sequence[float]) -> None:
        """Queue the metrics of one training step; NaN and Inf are kept."""
        assert len(names) == len(values), "one value per name"
        if step % self._every_steps == 0:
            self._queue(_Scalars(time.time(), step, names, tuple(values)))

    def record_validation(self, step: int, names: tuple[str, ...], values: Sequence[float]) -> None:
        """Queue the metrics of one validation pass."""
        assert len(names) == len(values), "one value per name"
        self._queue(_Scalars(time.time(), step, names, tuple(values)))

    def record_images(self, step: int, tag: str, image_HWC_uint8: NDArray[np.uint8]) -> None:
        """Queue one picture (height, width, 1 or 3 channels, 0..255). The caller tiles several previews."""
        assert image_HWC_uint8.dtype == np.uint8 and image_HWC_uint8.ndim == 3, "a preview is an HWC uint8 array"
        self._queue(_Picture(time.time(), step, _encodable(tag), image_HWC_uint8.copy()))

    def record_histograms(self, taken: LayerHistograms) -> None:
        """Queue the histograms of a layer."""
        self._queue(_Histograms(time.time(), taken.step, _encodable(taken.layer), taken))

    def open_branch(self, from_step: int) -> None:
        """Make TensorBoard hide the records after `from_step`, for a resume or rollback."""
        self._queue(_Branch(time.time(), from_step + 1))

    def close(self) -> None:
        """Write waiting records and close the file, after at most 10 s if the disk does not respond."""
        self._closing.set()
        self._thread.join(_SECONDS_TO_CLOSE)

    def _queue(self, record: _Record) -> None:
        if len(self._waiting) < self._max_waiting and not self._closing.is_set():
            self._waiting.append(record)
        else:
            self._num_refused += 1

    def _work(self) -> None:
        # Waking periodically, not per record, saves the training thread one contention for the GIL per step.
        while not self._closing.wait(_SECONDS_BETWEEN_WRITES):
            self._write()
        self._write()
        self._file.close()

    def _write(self) -> None:
        while self._waiting:
            self._append(self._waiting.popleft())
        try:
            self._file.flush()
            self.failure = None
        except OSError as error:
            self.failure = f"TensorBoard's file cannot be written: {error.strerror or error}"

    def _append(self, record: _Record) -> None:
        """Queue a record for the file. One that cannot be encoded, as a picture without pixels, is only logged."""
        try:
            self._file.append(self._encoder.encode(record))
        except Exception as error:  # pictures and names are a task's own, and two libraries raise what they like
            self._num_odd += 1
            _LOG.warning("a record of step %d is not in TensorBoard's log: %r", record.step, error)


class _Encoder:
    """Converts records into serialized Event messages, and reuses one message per set of metric names."""

    def __init__(self) -> None:
        self._scalars: dict[tuple[str, ...], Any] = {}  # the generated messages have no stubs

    def encode(self, record: _Record) -> bytes:
        match record:
            case _Scalars():
                event = self._filled(record)
            case _Picture():
                event = Event(summary=Summary(value=[_picture_value(record)]))
            case _Histograms():
                event = Event(summary=Summary(value=list(_histogram_values(record))))
            case _Branch():
                event = Event(session_log=SessionLog(status=SessionLog.START))
        event.wall_time = record.wall_time
        event.step = record.step
        return event.SerializeToString()

    def _filled(self, record: _Scalars) -> Any:
        event = self._scalars.get(record.names)
        if event is None:
            event = Event(summary=Summary(value=[Summary.Value(tag=name) for name in record.names]))
            self._scalars[record.names] = event
        for slot, value in zip(event.summary.value, record.values, strict=True):
            slot.simple_value = value
        return event


def _version_event() -> bytes:
    source = SourceMetadata(writer="training-cockpit")
    return Event(wall_time=time.time(), file_version="brain.Event:2", source_metadata=source).SerializeToString()


def _encodable(text: str) -> str:
    """Return `text` without lone surrogates (undecodable bytes of a file name), which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _picture_value(record: _Picture) -> Any:
    height, width, channels = record.image_HWC.shape
    buffer = io.BytesIO()
    Image.fromarray(record.image_HWC.squeeze(2) if channels == 1 else record.image_HWC).save(buffer, "PNG")
    image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=buffer.getvalue())
    return Summary.Value(tag=record.tag, image=image)


def _histogram_values(record: _Histograms) -> Iterator[Any]:
    """Yield a value of each kind of histogram that has finite values; values that are not are left out."""
    for kind, found in record.taken.kinds():
        if found is not None and found.count > found.nans + found.infinities:
            yield Summary.Value(tag=f"{kind}/{record.tag}", histo=_proto_of(found))


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

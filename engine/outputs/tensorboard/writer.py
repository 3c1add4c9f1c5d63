"""A run's TensorBoard log: scalars, previews and notes, encoded and written in a separate thread."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.outputs.inspection.layer_histograms import LayerHistograms
from engine.outputs.tensorboard.messages import Branch, Encoder, Histograms, Picture, Record, Scalars, version_event
from engine.outputs.tensorboard.tfevents import EventFile

_LOG: Final = logging.getLogger(__name__)
_SECONDS_BETWEEN_WRITES: Final = 0.25
_SECONDS_TO_CLOSE: Final = 10.0


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
        self._waiting: deque[Record] = deque()
        self._encoder = Encoder()
        self._file = EventFile(log_dir, first=version_event())
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
            self._queue(Scalars(time.time(), step, names, tuple(values)))

    def record_validation(self, step: int, names: tuple[str, ...], values: Sequence[float]) -> None:
        """Queue the metrics of one validation pass."""
        assert len(names) == len(values), "one value per name"
        self._queue(Scalars(time.time(), step, names, tuple(values)))

    def record_images(self, step: int, tag: str, image_HWC_uint8: NDArray[np.uint8]) -> None:
        """Queue one picture (height, width, 1 or 3 channels, 0..255). The caller tiles several previews."""
        assert image_HWC_uint8.dtype == np.uint8 and image_HWC_uint8.ndim == 3, "a preview is an HWC uint8 array"
        self._queue(Picture(time.time(), step, _encodable(tag), image_HWC_uint8.copy()))

    def record_histograms(self, taken: LayerHistograms) -> None:
        """Queue the histograms of a layer."""
        self._queue(Histograms(time.time(), taken.step, _encodable(taken.layer), taken))

    def open_branch(self, from_step: int) -> None:
        """Make TensorBoard hide the records after `from_step`, for a resume or rollback."""
        self._queue(Branch(time.time(), from_step + 1))

    def close(self) -> None:
        """Write waiting records and close the file, after at most 10 s if the disk does not respond."""
        self._closing.set()
        self._thread.join(_SECONDS_TO_CLOSE)

    def _queue(self, record: Record) -> None:
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

    def _append(self, record: Record) -> None:
        """Queue a record for the file. One that cannot be encoded, as a picture without pixels, is only logged."""
        try:
            self._file.append(self._encoder.encode(record))
        except Exception as error:  # pictures and names are a task's own, and two libraries raise what they like
            self._num_odd += 1
            _LOG.warning("a record of step %d is not in TensorBoard's log: %r", record.step, error)


def _encodable(text: str) -> str:
    """Return `text` without lone surrogates (undecodable bytes of a file name), which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode("utf-8")

"""The TensorBoard writer: TensorBoard's own reader returns the written values, and the engine is never delayed."""

from __future__ import annotations

import errno
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter
from engine.outputs.tensorboard import tfevents
from engine.outputs.tensorboard.writer import TensorboardWriter
from engine.protocol.state import RunState
from engine.runtime.recorder import RunRecorder

NAMES = ("loss/total", "loss/dice")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[TensorboardWriter]:
    writer = TensorboardWriter(tmp_path / "tensorboard")
    yield writer
    writer.close()


def read(tmp_path: Path) -> EventAccumulator:
    everything = {"scalars": 0, "images": 0, "tensors": 0}
    return EventAccumulator(str(tmp_path / "tensorboard"), size_guidance=everything).Reload()


def curve(tmp_path: Path, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in read(tmp_path).Scalars(name)]


def test_every_value_comes_back_at_its_step(tmp_path: Path, writer: TensorboardWriter) -> None:
    for step in range(5):
        writer.record_step(step, NAMES, [step / 4, -step / 8])
    writer.close()

    assert curve(tmp_path, "loss/total") == [(step, step / 4) for step in range(5)]
    assert curve(tmp_path, "loss/dice") == [(step, -step / 8) for step in range(5)]
    assert (writer.dropped, writer.failure) == (0, None)


def test_values_that_are_not_finite_come_back_as_such(tmp_path: Path, writer: TensorboardWriter) -> None:
    for step, value in enumerate((math.nan, math.inf, -math.inf)):
        writer.record_step(step, NAMES, [value, 1.0])
    writer.close()

    values = [value for _, value in curve(tmp_path, "loss/total")]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


def test_the_set_of_metrics_may_change_on_the_way(tmp_path: Path, writer: TensorboardWriter) -> None:
    writer.record_step(0, NAMES, [1.0, 2.0])
    writer.record_step(1, (*NAMES, "loss/contour"), [3.0, 4.0, 5.0])
    writer.record_step(2, NAMES, [6.0, 7.0])
    writer.close()

    assert curve(tmp_path, "loss/total") == [(0, 1.0), (1, 3.0), (2, 6.0)]
    assert curve(tmp_path, "loss/contour") == [(1, 5.0)]


def test_steps_are_thinned_and_validations_are_not(tmp_path: Path) -> None:
    writer = TensorboardWriter(tmp_path / "tensorboard", every_steps=10)
    for step in range(25):
        writer.record_step(step, ("loss/total",), [0.0])
    writer.record_validation(17, ("val/miou",), [0.5])
    writer.close()

    assert [step for step, _ in curve(tmp_path, "loss/total")] == [0, 10, 20]
    assert curve(tmp_path, "val/miou") == [(17, 0.5)]
    assert writer.dropped == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_a_preview_comes_back_pixel_for_pixel(tmp_path: Path, writer: TensorboardWriter, channels: int) -> None:
    image_HWC = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    sent = image_HWC.copy()
    writer.record_images(3, "val/preview", sent)
    sent[:] = 0
    writer.close()

    (shown,) = read(tmp_path).Images("val/preview")
    pixels = np.asarray(Image.open(BytesIO(shown.encoded_image_string))).reshape(5, 7, channels)
    assert (shown.step, shown.width, shown.height) == (3, 7, 5)
    assert np.array_equal(pixels, image_HWC)


def test_a_name_with_bytes_that_are_no_text_can_be_read(tmp_path: Path, writer: TensorboardWriter) -> None:
    writer.record_images(4, "caf\u00e9 \udcff \x1b[31m", np.zeros((2, 2, 3), np.uint8))
    writer.close()

    (shown,) = read(tmp_path).Images("caf\u00e9 ? \x1b[31m")
    assert shown.step == 4


def test_the_rows_and_branches_of_a_journal_are_copied_once_recording_began(tmp_path: Path) -> None:
    with closing(JournalWriter(tmp_path)) as journal:
        journal.start()  # earlier than a run's own, so that a row is written before the copy begins
        recorder = RunRecorder(RunState("run"), journal, begin=lambda: TensorboardWriter(tmp_path / "tensorboard"))
        journal.record_step(1, 0.1, ("loss/total",), (9.0,))
        recorder.begin()
        for step in range(2, 6):
            journal.record_step(step, step / 10, ("loss/total",), (float(step),))
        journal.record_validation(3, 0.3, ("val/miou",), (0.25,))
        journal.record_validation(5, 0.5, ("val/miou",), (0.5,))
        journal.open_branch(3)
        journal.record_step(4, 0.4, ("loss/total",), (0.5,))
        recorder.close()

    assert curve(tmp_path, "loss/total") == [(2, 2.0), (3, 3.0), (4, 0.5)]
    assert curve(tmp_path, "val/miou") == [(3, 0.25)]
    with closing(JournalReader(tmp_path)) as reader:
        assert list(reader.series(["loss/total"]).steps) == [1, 2, 3, 4]


def test_a_branch_leaves_out_what_it_supersedes(tmp_path: Path, writer: TensorboardWriter) -> None:
    for step in range(10):
        writer.record_step(step, ("loss/total",), [1.0])
    writer.open_branch(5)
    for step in range(6, 8):
        writer.record_step(step, ("loss/total",), [2.0])
    writer.close()

    assert curve(tmp_path, "loss/total") == [*((step, 1.0) for step in range(6)), (6, 2.0), (7, 2.0)]


def test_a_resumed_run_goes_on_in_a_second_file(tmp_path: Path) -> None:
    for first in (0, 3):
        writer = TensorboardWriter(tmp_path / "tensorboard")
        writer.open_branch(first - 1)
        for step in range(first, first + 4):
            writer.record_step(step, ("loss/total",), [float(first)])
        writer.close()

    assert curve(tmp_path, "loss/total") == [(0, 0.0), (1, 0.0), (2, 0.0), *((step, 3.0) for step in range(3, 7))]


def test_the_engine_does_not_wait_for_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: TensorboardWriter
) -> None:
    stuck, answer, real = threading.Event(), threading.Event(), os.write

    def hanging(descriptor: int, data: memoryview) -> int:
        stuck.set()
        assert answer.wait(30)
        return real(descriptor, data)

    monkeypatch.setattr(tfevents.os, "write", hanging)
    assert stuck.wait(30)
    for step in range(1000):
        writer.record_step(step, NAMES, [0.0, 1.0])
    answer.set()
    writer.close()

    assert len(curve(tmp_path, "loss/total")) == 1000


def test_a_full_disk_is_told_and_mended_without_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: TensorboardWriter
) -> None:
    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tfevents.os, "write", full)
        writer.record_step(0, NAMES, [0.0, 1.0])
        deadline = time.monotonic() + 30
        while writer.failure is None and time.monotonic() < deadline:
            time.sleep(0.01)
    assert writer.failure == "TensorBoard's file cannot be written: No space left on device"
    writer.record_step(1, NAMES, [0.0, 1.0])
    writer.close()

    assert [step for step, _ in curve(tmp_path, "loss/total")] == [0, 1]
    assert (writer.dropped, writer.failure) == (0, None)


def test_a_directory_that_cannot_be_made_only_counts_what_is_lost(tmp_path: Path) -> None:
    blocked = tmp_path / "tensorboard"
    blocked.write_text("a file is in the way")
    writer = TensorboardWriter(blocked)
    writer.record_step(0, NAMES, [0.0, 1.0])
    writer.close()

    assert writer.failure is not None and "cannot be written" in writer.failure
    assert writer.dropped == 2


def test_records_beyond_the_queue_and_after_the_end_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.outputs.tensorboard.writer._SECONDS_BETWEEN_WRITES", 3600.0)
    writer = TensorboardWriter(tmp_path / "tensorboard", max_waiting=3)
    for step in range(5):
        writer.record_step(step, NAMES, [0.0, 1.0])
    writer.close()
    writer.record_step(5, NAMES, [0.0, 1.0])
    writer.close()

    assert [step for step, _ in curve(tmp_path, "loss/total")] == [0, 1, 2]
    assert writer.dropped == 3


def test_a_wrong_number_of_values_is_a_fault_of_the_caller(writer: TensorboardWriter) -> None:
    with pytest.raises(AssertionError):
        writer.record_step(0, NAMES, [1.0])


def test_what_cannot_be_encoded_is_dropped_and_the_log_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = TensorboardWriter(tmp_path / "tensorboard")
    writer.record_images(1, "empty", np.zeros((0, 4, 3), np.uint8))
    writer.record_images(2, "odd", np.zeros((4, 4, 5), np.uint8))
    writer.record_validation(3, ("val/\udcff",), (1.0,))
    writer.record_step(4, NAMES, (0.5, 0.25))
    writer.close()
    assert writer.dropped == 3 and "a record of step 1 is not in TensorBoard's log" in caplog.text
    assert [event.value for event in read(tmp_path).Scalars("loss/total")] == [0.5]

"""Event files: the checksum is the published one, and a disk that refuses never tears a record."""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

from engine.outputs.tensorboard import tfevents
from engine.outputs.tensorboard.tfevents import EventFile, crc32c, framed


def records_in(directory: Path) -> list[bytes]:
    """Every whole record below `directory`, read by TensorBoard's own reader, which stops at a damaged one."""
    found: list[bytes] = []
    for path in sorted(directory.iterdir()):
        reader = pywrap_tensorflow.PyRecordReader_New(str(path))
        while True:
            try:
                reader.GetNext()
            except Exception as end:
                assert type(end).__name__ == "OutOfRangeError", end
                break
            found.append(reader.record())
    return found


def refusing(num_bytes: int) -> Callable[[int, memoryview], int]:
    """An `os.write` for a disk on which `num_bytes` more fit."""
    real, room = os.write, num_bytes

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(descriptor, data[:room])
        room -= written
        return written

    return write


def test_the_checksum_is_the_one_of_rfc_3720() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"") == 0


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 1023, 1024, 1025, 1027, 1028, 5000])
def test_the_checksum_agrees_with_tensorboard_at_every_length(size: int) -> None:
    data = random.Random(size).randbytes(size)

    assert crc32c(data) == pywrap_tensorflow.crc32c(data)


def test_records_come_back_in_order(tmp_path: Path) -> None:
    file = EventFile(tmp_path, first=b"version")
    file.append(b"one")
    file.flush()
    file.append(b"")
    file.append(b"two" * 1000)
    file.flush()
    file.close()

    assert records_in(tmp_path) == [b"version", b"one", b"", b"two" * 1000]


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    directory = tmp_path / "tensorboard"
    file = EventFile(directory, first=b"version")
    file.flush()
    file.close()

    assert stat.S_IMODE(next(directory.iterdir()).stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_second_file_in_the_same_second_sorts_after_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfevents.time, "time", lambda: 1_700_000_000.5)
    for name in (b"first", b"second"):
        file = EventFile(tmp_path, first=name)
        file.flush()
        file.close()

    assert records_in(tmp_path) == [b"first", b"second"]


@pytest.mark.parametrize("room", [0, 1, 17, 40])
def test_a_full_disk_tears_no_record_and_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    file = EventFile(tmp_path, first=b"version")
    file.flush()
    file.append(b"one" * 10)
    with monkeypatch.context() as patch:
        patch.setattr(tfevents.os, "write", refusing(room))
        with pytest.raises(OSError, match="No space"):
            file.flush()
    assert records_in(tmp_path) == [b"version"]
    file.append(b"two")
    file.flush()
    file.close()

    assert records_in(tmp_path) == [b"version", b"one" * 10, b"two"]
    assert file.num_dropped == 0


def test_what_waits_for_a_disk_is_bounded_and_the_version_stays(tmp_path: Path) -> None:
    file = EventFile(tmp_path, first=b"version", max_pending_bytes=3 * len(framed(bytes(100))))
    for value in range(10):
        file.append(bytes([value]) * 100)
    file.flush()
    file.close()

    assert records_in(tmp_path) == [b"version", bytes([8]) * 100, bytes([9]) * 100]
    assert file.num_dropped == 8


def test_what_never_reached_the_disk_is_counted(tmp_path: Path) -> None:
    blocked = tmp_path / "not-a-directory"
    blocked.write_text("")
    file = EventFile(blocked / "tensorboard", first=b"version")
    file.append(b"one")
    with pytest.raises(OSError):
        file.flush()
    file.close()

    assert file.num_dropped == 2


def test_a_file_that_is_deleted_is_gone_on_with_in_a_new_one(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "logs", first=b"first")
    file.append(b"one")
    file.flush()
    shutil.rmtree(tmp_path / "logs")
    file.append(b"two")
    file.flush()
    file.append(b"three")
    file.flush()
    file.close()
    assert records_in(tmp_path / "logs") == [b"first", b"two", b"three"]

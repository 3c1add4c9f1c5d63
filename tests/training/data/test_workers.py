"""Worker processes return the same batches as a thread, survive being killed, and end with close."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest
import torch

from engine.errors import UserError
from engine.task import Sample, sample_id_at
from engine.tasks.person.data.sources import Splits, open_splits
from engine.training.data.batch import Position
from engine.training.data.from_dataset import from_dataset
from engine.training.data.stream import BatchStream
from engine.training.data.workers import MAX_DEATHS
from tests.tasks.person.data.builders import SMALL_MODEL, data_config
from tests.training.data.test_stream import equal, take


@dataclass(frozen=True)
class Trouble:
    """Samples that misbehave in the process that draws them."""

    kind: str

    def __len__(self) -> int:
        return 8

    def sample(self, epoch: int, index: int) -> Sample:
        if self.kind == "dies" and index >= 4:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "leaves" and index >= 4:
            os._exit(3)
        if self.kind == "crashes" and index >= 4:
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.kind == "hangs" and index >= 4:
            time.sleep(600)
        if self.kind == "raises":
            raise OSError(f"sample {index} cannot be drawn")
        rng_state = float(torch.get_num_threads())
        image = torch.full((3, 2, 2), rng_state)
        return Sample({"image": image}, str(index))


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # the latter if it goes between opening and reading
        return False


def wait_until_gone(*pids: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(is_running(pid) for pid in pids):
        time.sleep(0.02)
    return not any(is_running(pid) for pid in pids)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return open_splits(data_config(), SMALL_MODEL, 5)


@pytest.fixture
def stream(splits: Splits) -> Iterator[BatchStream]:
    stream = BatchStream(splits.train, batch_size=3, num_workers=2)
    yield stream
    stream.close()


def test_batches_are_those_of_a_thread_and_workers_outlive_epochs(splits: Splits, stream: BatchStream) -> None:
    alone = BatchStream(splits.train, batch_size=3)
    expected = take(alone, 12)
    alone.close()
    assert any(batch.ends_epoch for batch in expected)
    assert equal(stream.next(), expected[0])
    pids = stream.worker_ids
    assert all(equal(one, other) for one, other in zip(take(stream, 11), expected[1:], strict=True))
    stream.reseat(expected[3].after, 3)
    assert all(equal(one, other) for one, other in zip(take(stream, 4), expected[4:8], strict=True))
    assert stream.worker_ids[: len(pids)] == pids and all(map(is_running, pids))


def test_a_killed_worker_is_replaced_and_no_sample_is_lost_or_doubled(splits: Splits, stream: BatchStream) -> None:
    alone = BatchStream(splits.train, batch_size=3)
    expected = take(alone, 20)
    alone.close()
    batches = take(stream, 4)
    killed = stream.worker_ids
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    batches += take(stream, 16)
    assert all(equal(one, other) for one, other in zip(batches, expected, strict=True))
    assert killed and stream.worker_ids and not {*killed} & {*stream.worker_ids}


def test_signals_of_the_terminal_do_not_reach_the_workers(stream: BatchStream) -> None:
    take(stream, 3)
    pids = stream.worker_ids
    (server,) = {psutil.Process(pid).ppid() for pid in pids} - {os.getpid()}
    os.kill(server, signal.SIGHUP)
    for pid in pids:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGHUP)
    take(stream, 6)
    assert pids and stream.worker_ids[: len(pids)] == pids and all(map(is_running, (*pids, server)))


def test_closing_ends_every_worker(splits: Splits) -> None:
    stream = BatchStream(splits.train, batch_size=3, num_workers=2)
    take(stream, 3)
    pids = stream.worker_ids
    assert all(is_running(pid) for pid in pids)
    stream.close()
    assert wait_until_gone(*pids)
    assert stream.worker_ids == ()


def test_a_stuck_worker_does_not_hold_up_the_close() -> None:
    stream = BatchStream(Trouble("hangs"), batch_size=4, num_workers=1)
    stream.next()
    pids = stream.worker_ids
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 5
    assert wait_until_gone(*pids)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("dies", "SIGKILL, perhaps for want of memory"),
        pytest.param("leaves", "exit code 3", marks=pytest.mark.slow),
        pytest.param("crashes", "SIGSEGV", marks=pytest.mark.slow),
    ],
)
def test_a_batch_that_kills_every_worker_is_an_error_that_names_samples_and_cause(kind: str, cause: str) -> None:
    stream = BatchStream(Trouble(kind), batch_size=4, num_workers=1)
    stream.next()
    with pytest.raises(UserError) as raised:
        stream.next()
    stream.close()
    assert str(raised.value) == (
        f"{MAX_DEATHS} data workers died one after the other ({cause}) on the batch of the samples 4 to 7 of epoch 0: "
        "check these, or set data.num_workers to 0"
    )


def test_the_samples_of_a_batch_are_named_without_reading_them(splits: Splits) -> None:
    items = from_dataset([1, 2, 3], seed=5, shuffle=True)
    for samples in (splits.train, items):
        for place in range(3):
            drawn = samples.sample(2, place).sample_id.partition("#")[0]
            assert sample_id_at(samples, 2, place).removeprefix("item ") == drawn
    assert sample_id_at(Trouble("none"), 1, 7) == ""


def test_what_a_worker_raises_is_raised_here_and_the_worker_lives() -> None:
    stream = BatchStream(Trouble("raises"), batch_size=4, num_workers=1)
    with pytest.raises(OSError, match="sample 0 cannot be drawn"):
        stream.next()
    pids = stream.worker_ids
    with pytest.raises(OSError, match="sample 4 cannot be drawn"):
        stream.next()
    assert pids and stream.worker_ids == pids and all(map(is_running, pids))
    stream.close()


def test_workers_keep_to_one_thread_each() -> None:
    stream = BatchStream(Trouble("none"), batch_size=2, num_workers=1, position=Position(3, 2))
    batch = stream.next()
    stream.close()
    assert batch.sample_ids == ("2", "3")
    assert (batch.tensors["image"] == 1).all()

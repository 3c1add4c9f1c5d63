"""Ranks have their part of each batch; the order is that of one process, after a resume on more ranks too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol import events as e
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from engine.training.data.batch import Position
from engine.training.data.spans import Shard, Span, assemble, span_at
from engine.training.data.stream import BatchStream
from tests.ddp.ranks import entries, script, series, tiny_config, train_together
from tests.ddp.tiny_task import BAD_ITEM, NUM_TRAIN, Tiny


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 22])
def test_the_slices_of_all_ranks_make_the_batch_and_differ_by_one_sample(world: int, batch_size: int) -> None:
    samples = Tiny().open_data(None).train
    span = Span(1, 3, min(3 + batch_size, NUM_TRAIN), ends_epoch=False)
    parts = [assemble(samples, replace(span, shard=Shard(rank, world))) for rank in range(world)]
    assert sum((part.sample_ids for part in parts), ()) == assemble(samples, span).sample_ids
    assert max(map(len, parts)) - min(map(len, parts)) <= 1 and len(parts[0]) == max(map(len, parts))
    assert {part.total for part in parts} == {span.stop - span.start}
    assert all(part.after == span.after for part in parts)


@pytest.mark.parametrize("world", [2, 3, 9])
def test_whole_batches_are_dealt_in_turn(world: int) -> None:
    samples = Tiny().open_data(None).val
    usual: list[tuple[str, ...]] = []
    position = Position()
    while position.epoch == 0:
        span = span_at(position, batch_size=2, length=len(samples))
        usual.append(assemble(samples, span).sample_ids)
        position = span.after
    for rank in range(world):
        stream = BatchStream(samples, batch_size=2, shard=Shard(rank, world, by_batch=True))
        own = usual[rank::world]
        assert [stream.next().sample_ids for _ in own] == own
        stream.close()


def test_a_run_of_two_ranks_resumes_on_three_and_goes_on_as_if_it_had_been_one(tmp_path: Path) -> None:
    config = tiny_config(guard={"recovery": {"enabled": False}})
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    asked = script("3: enable extra", "4: set-batch-size 6")
    assert train(RunRequest(alone, config, device="cpu", script=asked), Interrupt()) == 0
    request = RunRequest(together, config, device="cpu", script=(*asked, *script("6: stop")))
    assert train_together(2, request).codes == (0, 0)
    ended = train_together(3, replace(request, resume=True, script=asked))
    assert ended.codes == (0, 0, 0), ended.said
    assert all(found == ended.prints[0] for found in ended.prints), "the ranks differ"
    expected, found = (series(run, "loss/total", "grad_norm/total", "lr") for run in (alone, together))
    assert found["step"] == expected["step"]
    for name in ("loss/total", "grad_norm/total", "lr"):
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-5, err_msg=name)


def test_a_non_finite_sample_is_skipped_by_all_ranks_and_diagnosed_where_it_is(tmp_path: Path) -> None:
    guard = {"recovery": {"enabled": False}}
    config = tiny_config("OneBad", training={"epochs": 4, "batch_size": 11}, guard=guard)
    run = tmp_path / "run"
    run.mkdir()
    ended = train_together(2, RunRequest(run, config, device="cpu"))
    assert ended.codes == (0, 0), ended.said
    assert ended.prints[0] == ended.prints[1], "the ranks differ"
    events = [entry.event for entry in entries(run)]
    skipped = [event for event in events if isinstance(event, e.StepSkipped)]
    named = [event for event in events if isinstance(event, e.FaultNamed)]
    assert skipped and all(f" not finite on rank {_rank_of(event)}" in event.reason for event in skipped)
    assert any(_rank_of(event) == 1 for event in skipped), "choose another seed"
    assert all(str(BAD_ITEM) in event.sample_ids and len(event.sample_ids) < 11 for event in skipped)
    assert named and all((event.verdict, event.direction) == ("reproduced", "input") for event in named)


def test_the_guardian_excludes_a_bad_sample_on_all_ranks_at_once(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    ended = train_together(2, RunRequest(run, tiny_config("OneBad", training={"epochs": 2}), device="cpu"))
    assert ended.codes == (0, 0), ended.said
    assert ended.prints[0] == ended.prints[1], "the ranks differ"
    found = entries(run)
    excluded = [(entry.step, entry.actor) for entry in found if isinstance(entry.event, e.SamplesExcluded)]
    skipped = [entry.step for entry in found if isinstance(entry.event, e.StepSkipped)]
    assert excluded == [(skipped[0], "guardian")] and len(skipped) == 1
    assert 'excluded_samples=["' in ended.prints[1]["decided"]


def _rank_of(event: e.StepSkipped) -> int:
    """Return the rank that had the samples: the first has the larger part of a batch of 11."""
    return 0 if len(event.sample_ids) == 6 else 1


def test_running_statistics_are_equal_on_all_ranks_and_idle_ranks_do_no_harm(tmp_path: Path) -> None:
    config = tiny_config("Normed", training={"batch_size": 8, "epochs": 2, "averaging": "ema", "ema_decay": 0.5})
    run = tmp_path / "run"
    run.mkdir()
    ended = train_together(2, RunRequest(run, config, device="cpu", script=script("2: rollback step-00000000.pt")))
    assert ended.codes == (0, 0), ended.said
    assert ended.prints[0]["tensors"] == ended.prints[1]["tensors"], "the ranks differ"
    averaged = load_checkpoint(list_checkpoints(run / CHECKPOINTS)[-1])["averaged_model"]
    assert {"body.1.running_mean", "body.1.weight"} <= averaged.keys()

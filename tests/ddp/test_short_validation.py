"""Memory that runs out in the validation of some ranks: each measures its own batches in parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.protocol import events as e
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.ddp.ranks import Ended, entries, script, series, tiny_config, train_together

TRAINING = {"epochs": 2, "max_steps": 8}
VALIDATION = {"batch_size": 4, "num_previews": 0}


def trained(run: Path, ranks: str, fits: int, hunger: str = "validation") -> Ended:
    run.mkdir()
    config = tiny_config("Hungry", training=TRAINING, validation=VALIDATION)
    request = RunRequest(run, config, device="cpu", script=script("2: validate"))
    return train_together(2, request, environment={"HUNGRY": ranks, "HUNGER": hunger, "FITS": str(fits)})


def alerts(run: Path) -> list[str]:
    found = [entry.event for entry in entries(run)]
    return [event.message for event in found if isinstance(event, e.AlertRaised) and event.kind == "out of memory"]


@pytest.mark.parametrize("ranks", ["1", "0 1"])
def test_a_validation_with_too_little_memory_has_the_scores_of_one_process(tmp_path: Path, ranks: str) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    usual = tiny_config(training=TRAINING, validation=VALIDATION)
    request = RunRequest(alone, usual, device="cpu", script=script("2: validate"))
    assert train(request, Interrupt()) == 0
    ended = trained(together, ranks, fits=1)
    assert ended.codes == (0, 0), ended.said
    assert ended.prints[0] == ended.prints[1], "the ranks differ"
    said = alerts(together)
    assert len(said) == 2 * len(ranks.split()), "each rank halves 4 -> 2 -> 1 once, and keeps that"
    for rank in ranks.split():
        own = [message for message in said if f"at step 2 on rank {rank} (20.00 GiB asked)" in message]
        assert [message.partition(": ")[2].partition(";")[0] for message in own] == [
            "4 samples are measured in parts of 2",
            "2 samples are measured in parts of 1",
        ]
    expected, found = validated(alone), validated(together)
    assert len(found) == len(expected) == 2
    for name in ("loss", "closeness"):
        np.testing.assert_allclose([row[name] for row in found], [row[name] for row in expected], rtol=1e-6)


def validated(run: Path) -> list[dict[str, float]]:
    """Return the loss and the score of each validation."""
    found = [entry.event for entry in entries(run)]
    done = [event for event in found if isinstance(event, e.ValidationCompleted)]
    return [{"loss": event.loss or 0.0, **event.metrics} for event in done]


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_rank_without_memory_for_one_sample_of_a_validation_ends_all_with_one_sentence(
    tmp_path: Path, rank: str
) -> None:
    ended = trained(tmp_path / "run", rank, fits=0)
    assert ended.codes[0] == 1 and ended.codes[1]
    failures = [entry.event for entry in entries(tmp_path / "run") if isinstance(entry.event, e.RunFailed)]
    assert len(failures) == 1
    said = f"the memory is not enough for a validation of one sample on rank {rank} (20.00 GiB more were asked for)"
    assert failures[0].error.startswith(said)
    assert series(tmp_path / "run", "loss/total")["step"] == [1, 2]


def test_a_rank_prepares_the_data_of_a_validation_in_parts_or_ends_all_with_one_sentence(tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    usual = tiny_config(training=TRAINING, validation=VALIDATION)
    request = RunRequest(alone, usual, device="cpu", script=script("2: validate"))
    assert train(request, Interrupt()) == 0
    ended = trained(together, "1", fits=1, hunger="validation_data")
    assert ended.codes == (0, 0), ended.said
    said = [message.partition(";")[0] for message in alerts(together)]
    start = "out of memory while data were prepared for the validation at step 2 on rank 1 (20.00 GiB asked): "
    assert said == [f"{start}{size} samples are prepared in parts of {size // 2}" for size in (4, 2)]
    expected, found = validated(alone), validated(together)
    for name in ("loss", "closeness"):
        np.testing.assert_allclose([row[name] for row in found], [row[name] for row in expected], rtol=1e-6)
    ended = trained(tmp_path / "none", "1", fits=0, hunger="validation_data")
    assert ended.codes[0] == 1 and ended.codes[1]
    failures = [entry.event.error for entry in entries(tmp_path / "none") if isinstance(entry.event, e.RunFailed)]
    assert len(failures) == 1
    start = (
        "the memory is not enough for preparing one sample of a validation on rank 1 (20.00 GiB more were asked for): "
    )
    assert failures[0].startswith(start)
    assert failures[0].endswith(", and --resume it from step-00000002.pt")

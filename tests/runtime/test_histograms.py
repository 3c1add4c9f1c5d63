"""A command takes histograms of a layer at the next step; they are kept, recorded, and shown by every reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cockpit.cli.arguments import parse_arguments
from cockpit.cli.dispatch import run_subcommand
from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.outputs.inspection.histogram_file import kept_histograms
from engine.protocol import events as e
from engine.protocol.commands import TakeHistogram
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.small import small_config

LAYERS = ("unet", "unte", "extractor.layers.0.0.weight")


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose layers were asked for before the steps 2 and 3, one of them by a wrong name."""
    directory = tmp_path_factory.mktemp("runs") / "looked"
    directory.mkdir()
    script = tuple(ScriptedCommand(number, TakeHistogram(layer), 1) for number, layer in enumerate(LAYERS, 1))
    request = RunRequest(directory, small_config(training={"max_steps": 4}), device="cpu", script=script)
    assert train(request, Interrupt()) == 0
    return directory


@pytest.fixture
def entries(looked_at: Path) -> Iterator[list[Entry]]:
    reader = JournalReader(looked_at)
    yield [entry for entry in reader.events() if "istogram" in type(entry.event).__name__ + str(entry.event)]
    reader.close()


def test_each_request_is_answered_and_taken_at_the_next_step(looked_at: Path, entries: list[Entry]) -> None:
    kept = kept_histograms(looked_at)
    assert [(taken.layer, taken.step) for taken in kept] == [("unet", 2), ("extractor.layers.0.0.weight", 4)]
    taken = [entry.event for entry in entries if isinstance(entry.event, e.HistogramTaken)]
    assert [(event.layer, event.at_step) for event in taken] == [("unet", 2), ("extractor.layers.0.0.weight", 4)]
    assert all((looked_at / event.file).is_file() for event in taken)
    (refused,) = [entry for entry in entries if isinstance(entry.event, e.CommandRefused)]
    assert refused.reason == "no layer is called 'unte'; did you mean 'unet'?"


def test_the_numbers_are_those_of_the_steps_row(looked_at: Path) -> None:
    reader = JournalReader(looked_at)
    series = reader.series(["grad_norm/unet"])
    norm = float(series.values["grad_norm/unet"][series.steps.tolist().index(2)])
    reader.close()
    gradients = kept_histograms(looked_at)[0].gradients
    assert gradients is not None and gradients.sum_of_squares**0.5 == pytest.approx(norm, rel=1e-5)


def command(looked_at: Path, *words: str) -> int:
    return run_subcommand(parse_arguments(["histogram", str(looked_at), *words]))


def test_the_command_lists_draws_and_prints_json(looked_at: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(looked_at) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["unet", "2"],
        ["extractor.layers.0.0.weight", "4"],
    ]
    assert command(looked_at, "unet") == 0
    drawn = capsys.readouterr().out
    assert drawn.startswith("unet at step 2\n") and "█" in drawn and "activations" in drawn and "log" in drawn
    assert command(looked_at, "unet", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["layer"] == "unet" and sum(found["weights"]["bins"]) == found["weights"]["count"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("unte",), "no histograms of 'unte'; did you mean 'unet'"),
        (("unet", "--step", "9"), "no histograms were taken at step 9; those kept are of the steps: 2"),
    ],
)
def test_what_is_not_kept_is_said_in_one_sentence(looked_at: Path, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        command(looked_at, *words)


def test_tensorboard_shows_them(looked_at: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(looked_at / "tensorboard"), size_guidance={"histograms": 0})
    log.Reload()
    assert {"weights/unet", "gradients/unet", "activations/unet"} <= set(log.Tags()["histograms"])
    (event,) = log.Histograms("weights/unet")
    kept = kept_histograms(looked_at)[0].weights
    assert kept is not None
    value = event.histogram_value
    assert (event.step, value.num, value.min, value.max) == (2, kept.count, kept.low, kept.high)
    assert tuple(value.bucket) == kept.bins and value.bucket_limit[-1] == kept.high

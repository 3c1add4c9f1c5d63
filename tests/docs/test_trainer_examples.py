"""The programs of the manual that hand their loop to a trainer are run as they are shown."""

from __future__ import annotations

import runpy
from contextlib import closing
from pathlib import Path

import pytest

from engine.journal.reader import JournalReader
from engine.protocol.events import Activity
from tests.conftest import ROOT

EXAMPLES = ROOT / "cockpit" / "docs" / "examples"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty directory, and let a fault of the cockpit fail the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAINING_COCKPIT_RAISE", "1")


@pytest.mark.parametrize("name", ["huggingface_trainer.py", "lightning_trainer.py"])
def test_an_example_has_at_most_60_lines(name: str) -> None:
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")
def test_the_example_of_hugging_face_learns_under_the_cockpit() -> None:
    pytest.importorskip("transformers", reason="the extra `huggingface` is not installed")
    runpy.run_path(str(EXAMPLES / "huggingface_trainer.py"))["main"]("shown", steps=40)
    with closing(JournalReader(Path("runs/shown"))) as reader:
        state = reader.state()
        losses = reader.series(["loss/total"]).values["loss/total"]
    assert state is not None and state.activity is Activity.FINISHED and state.step == 40
    assert state.knobs["smoothing"].value == 0.05 and state.last_checkpoint == "shown-output/checkpoint-40"
    assert losses[-1] < losses[0] - 1


@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning")
def test_the_example_of_lightning_learns_under_the_cockpit() -> None:
    pytest.importorskip("pytorch_lightning", reason="the extra `lightning` is not installed")
    runpy.run_path(str(EXAMPLES / "lightning_trainer.py"))["main"]("shown", epochs=2)
    with closing(JournalReader(Path("runs/shown"))) as reader:
        state = reader.state()
    assert state is not None and state.activity is Activity.FINISHED
    assert state.best_score is not None and state.best_score > 0.8

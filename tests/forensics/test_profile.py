"""Steps from a checkpoint under torch's profiler: the table, the trace, and a run that stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import main
from engine.errors import UserError
from engine.forensics.profile import profile
from engine.outputs.profile_report import ProfileRequest
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.forensics.test_ablation import content
from tests.small import small_config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    directory = tmp_path_factory.mktemp("profiled") / "run"
    directory.mkdir()
    config = small_config(training={"max_steps": 2, "epochs": 9})
    assert train(RunRequest(directory, config, device="cpu"), Interrupt()) == 0
    return directory


def test_the_table_and_the_trace_show_the_steps_and_the_run_is_not_touched(run: Path, tmp_path: Path) -> None:
    before, numbers = content(run), torch.get_rng_state()
    report = profile(ProfileRequest(run, 2, tmp_path / "mine.json", device="cpu"))
    assert content(run) == before and torch.equal(torch.get_rng_state(), numbers)
    assert report.from_step == 2 and report.num_steps == 2 and report.seconds_per_step > 0
    assert "aten::" in report.table and "Self CPU" in report.table
    events = json.loads(report.trace.read_text())["traceEvents"]
    assert sum(event.get("name") == "cockpit: step" and event.get("cat") == "user_annotation" for event in events) == 2
    assert list(tmp_path.iterdir()) == [report.trace], "no part of a file is left"


def test_a_trace_that_cannot_be_written_and_an_unknown_checkpoint_are_mistakes(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--output"):
        profile(ProfileRequest(run, 1, tmp_path / "none" / "trace.json", device="cpu"))
    with pytest.raises(UserError, match=r"no checkpoint 'nothing\.pt'"):
        profile(ProfileRequest(run, 1, tmp_path / "trace.json", "nothing.pt", device="cpu"))


def test_the_command_prints_the_table_and_where_the_trace_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["profile", run.name, "--runs-dir", str(run.parent), "--steps", "1", "--device", "cpu"]
    assert main.main(words) == 0
    out = capsys.readouterr().out
    assert "1 step from step 2 (last-good.pt)" in out or "1 step from step 2 (the newest" in out
    assert "aten::" in out and f"trace: {run / 'trace.json'}" in out
    assert (run / "trace.json").is_file()
    assert main.main([*words[:1], "nothing", *words[2:]]) == 2

"""The program under `torchrun`: a rank is killed and the run resumes; a signal to the agent stops all ranks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from engine.journal.writer import JournalWriter
from engine.protocol import events as e
from engine.runtime.host.launch import Launch
from engine.runtime.start.restart import TORCHRUN, run_of_job
from main import main
from tests.adapters.remote import Remote
from tests.conftest import ROOT
from tests.ddp.ranks import entries, tiny_config


def torchrun(folder: Path, *words: str) -> list[str]:
    own = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "2", "--", str(ROOT / "main.py")]
    return [sys.executable, "-m", "torch.distributed.run", *own, "--runs-dir", str(folder), *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_a_killed_rank_is_named_and_the_run_resumes_at_its_step(tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    tree = tiny_config(training={"epochs": 100_000}, checkpoint={"every_steps": 0, "every_epochs": 1000})
    config.write_text(yaml.safe_dump(tree.model_dump(mode="json")), encoding="utf-8")
    words = ("--no-ui", "--quiet", "--run", "first", "--config", str(config))
    with subprocess.Popen(torchrun(tmp_path, *words), env=environment(), cwd=tmp_path) as agent:
        try:
            remote = Remote(tmp_path / "first")
            remote.await_state(lambda state: state.step >= 30)
            of_rank_1(agent.pid).kill()
            resumed_at = await_resume(tmp_path / "first")
            remote.await_state(lambda state: state.step >= resumed_at + 5)
            agent.send_signal(signal.SIGTERM)
            agent.wait(60)
        finally:
            agent.kill()
    found = entries(tmp_path / "first")
    failed = [(entry.step, entry.event.error) for entry in found if isinstance(entry.event, e.RunFailed)]
    saved = [entry.event.path for entry in found if isinstance(entry.event, e.CheckpointSaved)]
    assert [step for step, _ in failed] == [resumed_at] and "rank 1 (process" in failed[0][1]
    assert "is gone: its last step was" in failed[0][1]
    assert f"step-{resumed_at:08d}.pt" in saved
    assert isinstance(found[-1].event, e.RunFinished) and found[-1].event.reason == "stopped"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["first"]


def of_rank_1(agent: int) -> psutil.Process:
    return next(x for x in psutil.Process(agent).children(recursive=True) if x.environ().get("RANK") == "1")


def await_resume(run: Path) -> int:
    """Return the step at which the second attempt begins."""
    until = time.monotonic() + 90
    while time.monotonic() < until:
        starts = [entry for entry in entries(run) if isinstance(entry.event, e.RunStarted)]
        if len(starts) > 1:
            return starts[1].step
        time.sleep(0.2)
    raise AssertionError("the run was not resumed")


def test_ranks_have_no_screen_and_one_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert main(["--runs-dir", str(tmp_path)]) == 2
    said = capfd.readouterr().err
    assert said.startswith("error: 2 ranks have no screen: add --no-ui") and said.count("\n") == 1


def test_only_a_later_attempt_of_the_same_job_resumes_its_run(tmp_path: Path) -> None:
    for name, job in (("first", "job-1"), ("second", "job-2"), ("third", "")):
        journal = JournalWriter(tmp_path / name)
        (tmp_path / name).mkdir()
        journal.start()
        journal.set_meta(TORCHRUN, job)
        journal.close()
    again = Launch(0, 2, restarts=1, job="job-1")
    assert run_of_job(tmp_path, again) == tmp_path / "first"
    for other in (replace(again, restarts=0), replace(again, rank=1), replace(again, job="job-3"), None):
        assert run_of_job(tmp_path, other) is None
    assert run_of_job(tmp_path, replace(again, job="")) is None

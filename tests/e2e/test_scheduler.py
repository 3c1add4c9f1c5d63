"""The job script of the manual under a scheduler that this file plays: signals, the queue, and the resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.protocol.events import Activity, CheckpointSaved
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from tests.e2e.signalled_run import end_by
from tests.e2e.terminal_session import ROOT, clean_environment
from tests.e2e.test_signals import is_at

pytestmark = pytest.mark.timeout(240)

JOB_SCRIPT = ROOT / "cockpit" / "docs" / "examples" / "slurm_job.sh"
JOB = "4711"


class Slurm:
    """Runs a job script in `folder` as often as it asks for, and sends signals to its step as `--signal` does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._commands = folder / "commands"
        self._commands.mkdir()
        self._command("srun", f'echo $$ > step.pid; shift 2; exec "{sys.executable}" "{ROOT / "main.py"}" "$@" $MORE')
        self._command("scontrol", "echo $@ >> scontrol.log")

    def _command(self, name: str, body: str) -> None:
        path = self._commands / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the job, which has an hour; `words` are added to the command of its step."""
        environment = {
            **clean_environment(),
            "PATH": f"{self._commands}:{os.environ['PATH']}",
            "SLURM_JOB_ID": JOB,
            "MORE": " ".join(words),
            "SLURM_JOB_END_TIME": str(int(time.time() + 3600)),
        }
        with (self._folder / "job.out").open("ab") as out:
            script = ["bash", str(JOB_SCRIPT)]
            return subprocess.Popen(script, cwd=self._folder, env=environment, stdout=out, stderr=out)

    def signal_step(self, number: signal.Signals) -> None:
        """Send a signal to the process of the job's step."""
        os.kill(int((self._folder / "step.pid").read_text()), number)

    @property
    def asked(self) -> list[str]:
        """What the job asked the controller."""
        log = self._folder / "scontrol.log"
        return log.read_text().splitlines() if log.exists() else []


def _wait_for_step(directory: Path, step: int, job: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert job.poll() is None, f"the job ended before step {step}"
        with suppress(UserError), closing(JournalReader(directory)) as reader:
            if (state := reader.state()) is not None and state.step >= step:
                return
        time.sleep(0.03)
    raise AssertionError(f"no step {step} in time")


@pytest.mark.slow
def test_the_job_script_of_the_manual_goes_on_until_the_run_is_complete(folder: Path) -> None:
    slurm, run = Slurm(folder), folder / "runs" / f"job-{JOB}"
    first = slurm.start("--config", "small.yaml", "--set", "training.max_steps=150")
    _wait_for_step(run, 3, first)
    slurm.signal_step(signal.SIGUSR1)
    slurm.signal_step(signal.SIGUSR2)
    assert first.wait(60) == 85, (folder / "job.out").read_text()
    assert slurm.asked == [f"requeue {JOB}"]
    second = slurm.start()
    assert second.wait(90) == 0, (folder / "job.out").read_text()
    assert slurm.asked == [f"requeue {JOB}"], "a complete run is not queued again"
    with closing(JournalReader(run)) as reader:
        state, events = reader.state(), [entry.event for entry in reader.events()]
    assert state is not None and state.step == 150
    saved = [event.kind for event in events if isinstance(event, CheckpointSaved)]
    kinds = [kind for kind in saved if kind != "epoch"]  # one may end before the signal comes
    assert kinds[:3] == ["start", "signal", "final"]
    assert load_checkpoint(list_checkpoints(run / "checkpoints")[-1])["step"] == 150


@pytest.mark.slow
def test_the_signal_of_a_scheduler_closes_the_screen_too(folder: Path) -> None:
    end = end_by(folder, signal.SIGUSR2, is_at(Activity.RUNNING, 3), screen=True)
    assert (end.code, end.left, end.spoilt) == (85, (), ())

"""The program as a user starts it: other processes, signals, SIGKILL, exit codes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import main
from cockpit.console.run_end import complain_of_failure
from engine.config.files.yaml_text import dump_config
from engine.config.load import read_resolved
from engine.errors import UserError
from engine.journal.disk.run_dir import CONFIG_FILE
from engine.journal.reader import JournalReader
from engine.protocol.events import RunFailed, RunFinished
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from tests.e2e.test_steering import poisoned
from tests.forked import CapturedProcess, Forked
from tests.recorded_run import RecordedRun
from tests.small import small_config

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


def _program(*words: str, cwd: Path) -> CapturedProcess:
    return CapturedProcess(Forked(words), cwd, ENVIRONMENT)


class _NewProcess(subprocess.Popen[str]):
    """A process that ends with a test that fails: it would go on training during all later ones."""

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *rest)


def _new_program(*words: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "main.py"), *words]
    pipe = subprocess.PIPE
    return _NewProcess(command, cwd=cwd, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True)


def _finished(*words: str, cwd: Path) -> tuple[int, str, str]:
    with _program(*words, cwd=cwd) as process:
        out, err = process.communicate(timeout=90)
    return process.returncode, out, err


def _config(directory: Path, *, epochs: int) -> str:
    path = directory / "small.yaml"
    scenes = {"num_train_scenes": 12, "num_val_scenes": 2, "image_size": 64, "max_people": 3}
    config = small_config(
        training={"epochs": epochs, "batch_size": 2}, data={"synthetic": scenes}, checkpoint={"every_steps": 7}
    )
    path.write_text(dump_config(config))
    return str(path)


def _wait_for_step(directory: Path, step: int, process: subprocess.Popen[str] | CapturedProcess) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the run ended before step {step}: {process.communicate()}"
        with suppress(UserError), closing(JournalReader(directory)) as reader:
            state = reader.state()
            if state is not None and state.step >= step:
                return
        time.sleep(0.03)
    raise AssertionError(f"step {step} was not reached in time")


def _series(directory: Path, names: Sequence[str]) -> dict[str, list[float]]:
    with closing(JournalReader(directory)) as reader:
        series = reader.series(tuple(names))
    return {"step": series.steps.tolist(), **{name: series.values[name].tolist() for name in names}}


TINY = ("--config", "tiny")
"""A configuration that is named needs no torch: without one, torch is asked for a GPU."""
KEYS = ("loss/total", "grad_norm/total", "lr", "loss/dice")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a configuration and its undisturbed run 'whole'."""
    directory = tmp_path_factory.mktemp("main")
    config = _config(directory, epochs=3)
    code, _, err = _finished("--no-ui", "--config", config, "--run", "whole", cwd=directory)
    assert code == 0, err
    return directory


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_killed_at_a_random_step_goes_on_bit_for_bit(unbroken: Path, seed: int) -> None:
    name = f"killed-{seed}"
    steps = _series(unbroken / "runs" / "whole", KEYS)["step"]
    slow = poisoned("pace", "--no-ui", "--config", "small.yaml", "--run", name)  # it does not end before the kill
    with CapturedProcess(slow, unbroken, ENVIRONMENT) as process:
        _wait_for_step(unbroken / "runs" / name, random.Random(seed).randrange(8, len(steps) * 2 // 3), process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    code, _, err = _finished("--no-ui", "--resume", name, cwd=unbroken)
    assert code == 0, err
    assert _series(unbroken / "runs" / name, KEYS) == _series(unbroken / "runs" / "whole", KEYS)
    newest, reference = (list_checkpoints(unbroken / "runs" / run / "checkpoints")[-1] for run in (name, "whole"))
    left, right = load_checkpoint(newest), load_checkpoint(reference)
    assert all(left["model"][key].equal(value) for key, value in right["model"].items())
    for parameter, moments in right["moments"].items():
        assert all(left["moments"][parameter][key].equal(value) for key, value in moments.items())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_finishes_the_step_writes_a_checkpoint_and_sums_up(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    config = _config(tmp_path, epochs=100_000)
    start = _new_program if number == signal.SIGINT else _program
    with start("--no-ui", "--config", config, "--run", "one", cwd=tmp_path) as process:
        _wait_for_step(tmp_path / "runs" / "one", 5, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "--resume one" in out
    assert "Traceback" not in out + err
    with closing(JournalReader(tmp_path / "runs" / "one")) as reader:
        state, events = reader.state(), reader.events()
    assert state is not None and isinstance(events[-1].event, RunFinished)
    newest = list_checkpoints(tmp_path / "runs" / "one" / "checkpoints")[-1]
    assert load_checkpoint(newest)["step"] == state.step


def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    program = "import signal, time\nfrom engine.runtime.host.interrupt import Interrupt, signals_to\n"
    program += "with signals_to(Interrupt()):\n    print('ready', flush=True)\n    time.sleep(60); time.sleep(60)\n"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None, "the first interrupt waits for the step"
        while process.poll() is None:  # one that comes before the first is handled is none
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        assert process.poll() == 130


@pytest.mark.parametrize("words", [("--time-limit", "30m"), ()])
def test_the_time_limit_is_that_of_the_option_or_of_the_slurm_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 1800))
    seen: list[Interrupt] = []
    monkeypatch.setattr(main, "_run", lambda request_for, name, interrupt: seen.append(interrupt) or 0)
    assert main.main(["--no-ui", "--quiet", "--config", "tiny", "--runs-dir", str(tmp_path), *words]) == 0
    limit = seen[0].limit
    assert limit is not None and 1700 < limit.left + limit.reserve <= 1800
    assert limit.said == ("--time-limit 30m" if words else "SLURM_JOB_END_TIME")


def test_a_live_run_answers_status_and_obeys_send_from_another_process(tmp_path: Path) -> None:
    config = _config(tmp_path, epochs=100_000)
    with _program("--no-ui", "--quiet", "--config", config, "--run", "live", cwd=tmp_path) as process:
        _wait_for_step(tmp_path / "runs" / "live", 5, process)
        code, out, _ = _finished("status", "latest", "--json", cwd=tmp_path)
        status = json.loads(out)
        assert code == 0 and status["run"] == "live" and status["step"] >= 5
        assert status["state"] in ("running", "validating")
        code, out, err = _finished("send", "live", "lower-lr", "0.5", "--wait", cwd=tmp_path)
        assert code == 0 and "applied" in out, err
        code, out, _ = _finished("send", "live", "resume", "--wait", cwd=tmp_path)
        assert code == 1 and "not paused" in out
        code, out, _ = _finished("send", "live", "stop", "--wait", cwd=tmp_path)
        assert code == 0
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--config", "tinny"), "did you mean 'tiny'"),
        ((*TINY, "--set", "training.learning_rat=1"), "learning_rate"),
        ((*TINY, "--set", "training.learning_rate=-1"), "must be a number above 0"),
        (("--data", "nowhere"), "nowhere"),
        (("--resume", "nothing"), "nothing"),
        ((*TINY, "--init-from", "nothing.pt"), "nothing.pt"),
        (("--script", "nothing.txt"), "nothing.txt"),
        (("--device", "tpu"), "tpu"),
        ((*TINY, "--epochs", "0"), "epochs"),
        ((*TINY, "--set", "training.threads=some"), "must be a whole number from 0 to 1024, or auto"),
        ((*TINY, "--time-limit", "90"), "write 3h55m, 90m, 45s"),
        (("--run", "../up"), "up"),
    ],
)
def test_a_mistake_gets_one_sentence_exit_code_2_and_leaves_nothing_behind(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    code, _, err = _finished("--no-ui", *words, cwd=tmp_path)
    assert code == 2
    assert said in err and "Traceback" not in err
    assert not list(tmp_path.glob("runs/*"))


def test_a_failure_gives_its_reason_and_names_the_log_only_where_there_is_one(tmp_path, capsys):
    complain_of_failure(tmp_path / "no run")
    run = RecordedRun(tmp_path / "run")
    run.begin()
    run.note(RunFailed("the disk is full\nmore"))
    run.close()
    complain_of_failure(run.directory)
    (run.directory / "console.log").write_text("Traceback")
    complain_of_failure(run.directory)
    said = capsys.readouterr().err.splitlines()
    reason = "error: the run failed: the disk is full"
    assert said == [
        "error: the run failed",
        reason,
        f"{reason}; {run.directory / 'console.log'} has more",
    ]


def test_a_configuration_put_right_is_trained_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, clips = tmp_path / "run", {"likely": 1.0, "right": 0.5}
    directory.mkdir()
    monkeypatch.setattr(main, "_default_config", lambda: "right")

    def request_for(name: str) -> RunRequest:
        training = {"max_steps": 1, "gradient_clip": clips[name]}
        return RunRequest(directory, small_config(training=training), device="cpu")

    assert main._run(request_for, "likely", Interrupt(), is_sure=False) == 0
    with closing(JournalReader(directory)) as reader:
        state = reader.state()
    assert state is not None and (state.step, state.gradient_clip) == (1, 0.5)
    assert read_resolved(directory / CONFIG_FILE).training.gradient_clip == 0.5

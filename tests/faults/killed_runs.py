"""A program: train one run that is killed again and again, each time resumed, and the same run undisturbed.

Arguments: a directory, the number of kills, the seed of the moments. Children are forked from a process that has loaded
torch and never computed with it, so that a start costs no import. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import torch

from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.small import small_config

_IN_A_CHECKPOINT = 3
"""Every third kill waits for a checkpoint that is being written."""

_LONGEST_SECONDS = 15
"""Longest wait for a step or for a checkpoint."""


def _train(directory: Path, *, max_steps: int, resume: bool) -> int:
    torch.set_num_threads(1)
    config = small_config(
        training={"epochs": 100_000, "max_steps": max_steps},
        checkpoint={"every_steps": 2, "every_epochs": 0},
        validation={"every_epochs": 50},
    )
    return train(RunRequest(directory, config, device="cpu", resume=resume), Interrupt())


def _forked(directory: Path, *, max_steps: int, resume: bool) -> int:
    """The process id of a child that trains."""
    child = os.fork()
    if child == 0:
        os._exit(_train(directory, max_steps=max_steps, resume=resume))
    return child


def _step_of(directory: Path) -> int:
    try:
        with closing(JournalReader(directory)) as reader:
            return reader.newest_ids().step
    except UserError:
        return 0


def _kill_at_a_moment(child: int, directory: Path, moment: random.Random, *, in_a_checkpoint: bool) -> bool:
    """Kill `child` some steps and a random time after its start, or then while it writes a checkpoint.

    Returns whether one was being written.
    """
    goal = _step_of(directory) + moment.randrange(6)
    deadline = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < deadline and _step_of(directory) < goal:
        time.sleep(0.01)
    time.sleep(moment.uniform(0.0, 0.3))
    _stop(child)
    deadline = time.monotonic() + _LONGEST_SECONDS
    while in_a_checkpoint and time.monotonic() < deadline and not _is_writing(directory):
        os.kill(child, signal.SIGCONT)
        time.sleep(moment.uniform(0.0005, 0.003))
        _stop(child)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return _is_writing(directory)


def _stop(child: int) -> None:
    """Stop `child`, and wait until none of its threads runs: one may be about to rename the checkpoint."""
    os.kill(child, signal.SIGSTOP)
    os.waitpid(child, os.WUNTRACED)


def _is_writing(directory: Path) -> bool:
    return any((directory / "checkpoints").glob("*.partial"))


def main(home: Path, num_kills: int, seed: int) -> None:
    """Kill, resume, and in the end train both runs to the same step."""
    killed, whole = home / "killed", home / "whole"
    for directory in (killed, whole):
        directory.mkdir()
    moment = random.Random(seed)
    writing, reached, begun = 0, 0, False
    for number in range(num_kills):
        child = _forked(killed, max_steps=0, resume=begun)
        in_a_checkpoint = number % _IN_A_CHECKPOINT == 0
        writing += _kill_at_a_moment(child, killed, moment, in_a_checkpoint=in_a_checkpoint)
        begun = begun or (killed / "run.sqlite").exists()
        reached = max(reached, _step_of(killed))
    end = reached + 10
    codes = [os.waitpid(_forked(d, max_steps=end, resume=begun and d == killed), 0)[1] for d in (killed, whole)]
    print(json.dumps({"codes": codes, "steps": end, "in_a_checkpoint": writing}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

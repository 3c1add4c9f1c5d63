"""A program: train a run whose disk is full from one step to another. Arguments: directory, first, last (0 for never).

The disk is full by RLIMIT_FSIZE: no file grows beyond a few bytes, whoever writes it. Prints the exit code.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from engine.runtime.host.interrupt import Interrupt
from engine.runtime.loop import Loop
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.small import small_config

_HARDLY_ANYTHING = 512


def _limit(num_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))


def main(directory: Path, first: int, last: int) -> int:
    """Train; the disk is full from the boundary before step `first` (from 0) to that before step `last`."""
    turn = Loop.turn

    def turn_on_a_full_disk(loop: Loop) -> str:
        step = loop._recorder.state.step
        _limit(_HARDLY_ANYTHING if first <= step and (step < last or not last) else resource.RLIM_INFINITY)
        return turn(loop)

    Loop.turn = turn_on_a_full_disk  # type: ignore[method-assign]
    config = small_config(training={"epochs": 40, "max_steps": 24}, checkpoint={"every_steps": 4})
    try:
        return train(RunRequest(directory, config, device="cpu"), Interrupt())
    finally:
        _limit(resource.RLIM_INFINITY)


if __name__ == "__main__":
    home = Path(sys.argv[1])
    home.mkdir()
    print(main(home, int(sys.argv[2]), int(sys.argv[3])), flush=True)

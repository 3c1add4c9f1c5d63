"""This checkout against another one, in turns: `python -m tests.benchmarks.checkouts DIR [--only NAME]`.

`step` is a turn of eight steps of the whole engine (`tiny`), `network` one step at the published widths with trunk
stride 2, each in a process of its own with one thread. `first-frame` is a start of `python main.py` on a terminal. The
ratios are this checkout's time through the other's, of each pair of turns: the median and the quartiles, by the clock
and in processor time, in which other work on the machine shows less.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.first_frame import SIGNS, TRAINING, start

ROOT: Final = Path(__file__).parents[2]
TIMED: Final = """
import sys, tempfile, time
from pathlib import Path
import torch
torch.set_num_threads(1)
{build}
def turns():
    for line in sys.stdin:
        clock, cpu = time.perf_counter(), time.process_time()
        turn()
        print(time.perf_counter() - clock, time.process_time() - cpu, flush=True)
with tempfile.TemporaryDirectory() as folder:
    turn, close = begin(Path(folder))
    turns()
    close()
"""
STEP: Final = """
def begin(folder):
    from tests.benchmarks.step_speed import build
    ours, _, close = build(folder, "tiny", ())
    return ours, close
"""
NETWORK: Final = """
def begin(folder):
    from tests.benchmarks.network_speed import VARIANTS, train_step
    return train_step(VARIANTS["half trunk, fp32"], num_rois=4), lambda: None
"""
WARM_UP: Final = 3
COMPILING: Final = 4
"""Starts until the main screen that compile the modules: each is ended early, which may end a compilation too."""

Times = tuple[float, float]
"""Seconds by the clock and processor seconds."""


class Turns:
    """A process in a checkout that takes a turn when told to."""

    def __init__(self, checkout: Path, build: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", TIMED.format(build=build)],
            cwd=checkout,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def take(self) -> Times:
        """Take one turn."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        clock, cpu = self._process.stdout.readline().split()
        return float(clock), float(cpu)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class Starts:
    """Starts of `python main.py` in a checkout, with all modules compiled, also those that are not of the checkout."""

    def __init__(self, checkout: Path) -> None:
        self._main = checkout / "main.py"
        self._folder = tempfile.TemporaryDirectory()
        for _ in range(COMPILING):
            self._start(("first frame", "main screen"))

    def take(self) -> Times:
        """Start the program until its first frame."""
        found = self._start(("first frame",))
        return found["first frame"], found["first frame, CPU"]

    def close(self) -> None:
        """Delete the runs and the compiled modules."""
        self._folder.cleanup()

    def _start(self, signs: Sequence[str]) -> dict[str, float]:
        command = [sys.executable, str(self._main), *TRAINING, "--run", "start"]
        folder = Path(self._folder.name)
        found = start(command, folder, {sign: SIGNS[sign] for sign in signs}, (200, 50))
        shutil.rmtree(folder / "runs", ignore_errors=True)
        return found


KINDS: Final[dict[str, Callable[[Path], Turns | Starts]]] = {
    "step": lambda checkout: Turns(checkout, STEP),
    "network": lambda checkout: Turns(checkout, NETWORK),
    "first-frame": Starts,
}


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print the ratios of every kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="the other checkout")
    parser.add_argument("--only", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--pairs", type=int, default=30)
    options = parser.parse_args(words)
    for kind in options.only:
        pairs = measured(KINDS[kind], options.checkout.resolve(), options.pairs)
        for name, values in zip(("clock", "processor time"), zip(*pairs, strict=True), strict=True):
            low, median, high = statistics.quantiles(values, n=4)
            print(
                f"{kind:<12}{name:<16}{median:.3f}  (quartiles {low:.3f} to {high:.3f}, {len(values)} pairs)",
                flush=True,
            )


def measured(begin: Callable[[Path], Turns | Starts], other: Path, num_pairs: int) -> list[Times]:
    """Return the ratios of each pair; the order within a pair alternates."""
    here, there = begin(ROOT), begin(other)
    pairs: list[Times] = []
    for number in range(WARM_UP + num_pairs):
        if number % 2:
            theirs, ours = there.take(), here.take()
        else:
            ours, theirs = here.take(), there.take()
        if number >= WARM_UP:
            pairs.append((ours[0] / theirs[0], ours[1] / theirs[1]))
    here.close()
    there.close()
    return pairs


if __name__ == "__main__":
    main()

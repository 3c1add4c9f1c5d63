"""How late a run's newest row is on the screen, and what the screen costs: `python -m tests.benchmarks.live_screen`.

`attach` on a run that a writer of its own goes on with, rows of 20 series at 1 and at 50 a second: the delay of each
row, from the call that records it until the terminal shows its step or a later one; processor time of the viewer; its
memory. Then a finished run of 100,000 rows, open and untouched. With `--peer leet` the same for W&B LEET, in turns:
`--wandb` is the Python of an environment with wandb, and `--peer-run` a finished offline run of that size.
"""

from __future__ import annotations

import argparse
import math
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import psutil
import pyte

from tests.benchmarks.chart_history import compiled
from tests.e2e.terminal_session import ROOT, TerminalSession, program
from tests.long_journal import METRICS, write_long_journal

RATES: Final = (1, 50)
SIZE: Final = (200, 50)
SETTLED: Final = 12.0
"""Seconds after the first chart in which a screen is not measured yet: further tabs are made then."""

WINDOW: Final = 3.0
"""Seconds after which it is looked again whether a viewer is at rest."""

RESTING: Final = 0.1
"""Share of a core below which a viewer has read a finished run."""

OURS: Final = """
import sys, time
from dataclasses import replace
from pathlib import Path
from tests.long_journal import METRICS
from tests.recorded_run import RecordedRun
directory, rate = Path(sys.argv[1]), float(sys.argv[2])
run = RecordedRun(directory, total_steps=100_000_000)
run.begin()
print(directory, flush=True)
began, step, state = time.time(), 0, run.state
while True:
    step += 1
    time.sleep(max(0.0, began + step / rate - time.time()))
    at = time.perf_counter()
    run.journal.record_step(step, step / 50, METRICS, (float(step),) * len(METRICS))
    state = replace(state, step=step)
    run.journal.record_state(state)
    print(step, at, flush=True)
"""

LEET: Final = """
import os, sys, time
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")
import wandb
rate, names = float(sys.argv[2]), sys.argv[3].split(",")
run = wandb.init(project="p", dir=sys.argv[1], settings=wandb.Settings(x_disable_stats=True, console="off"))
print(os.path.dirname(run.dir), flush=True)
began, step = time.time(), 0
while True:
    step += 1
    time.sleep(max(0.0, began + step / rate - time.time()))
    at = time.perf_counter()
    run.log(dict.fromkeys(names, float(step)), step=step)
    print(step, at, flush=True)
"""


class Viewer:
    """A program that shows runs: how it is started, how its writer is, and what says which step it shows."""

    def __init__(self, name: str, python: str, writer: str, shown: str, command: Sequence[str]) -> None:
        self.name = name
        self._is_whole = name == "attach"  # it writes the whole line of the step; others only what has changed of it
        self._python, self._writer, self._command = python, writer, command
        self._shown = re.compile(shown)

    def on(self, run: Path, folder: Path) -> TerminalSession:
        """Open the program on a run."""
        return TerminalSession([*self._command, str(run)], folder, size=SIZE, environment=compiled(folder))

    def seen(self, raw: bytes, arrivals: Sequence[tuple[float, int]], since: float) -> list[tuple[int, float]]:
        """Return the steps that the terminal has shown since then, each with the time when it came.

        `raw` was written to the terminal, `arrivals` are times, each with the number of bytes that had come.
        """
        if self._is_whole:
            matches = self._shown.finditer(raw.decode("latin-1"))
            return _rising([(int(found[1]), _arrival(arrivals, found.end())) for found in matches], since)
        emulator = pyte.Screen(*SIZE)
        stream, start = pyte.ByteStream(emulator), 0
        shown: list[tuple[int, float]] = []
        for at, end in arrivals:
            stream.feed(raw[start:end])
            start = end
            if at >= since and (found := self._shown.search("\n".join(emulator.display))):
                shown.append((int(found[1]), at))
        return _rising(shown, since)

    def writer(self, folder: Path, rate: float) -> subprocess.Popen[str]:
        """Start a process that writes a run at `rate` rows a second and prints its directory, then step and time."""
        words = [self._python, "-c", self._writer, str(folder), str(rate), ",".join(METRICS)]
        return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def ends_of(arrivals: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return the time and the end of each arrival but the last, from the time and the start of each."""
    return [(at, end) for (at, _), (_, end) in pairwise([*arrivals])]


def _arrival(arrivals: Sequence[tuple[float, int]], offset: int) -> float:
    return next((at for at, end in arrivals if end >= offset), -math.inf)  # what came last has no end yet


def _rising(shown: Sequence[tuple[int, float]], since: float) -> list[tuple[int, float]]:
    """Return the steps after that time that are higher than all before them."""
    kept: list[tuple[int, float]] = []
    for step, at in shown:
        if at >= since and (not kept or step > kept[-1][0]):
            kept.append((step, at))
    return kept


def cost(terminal: TerminalSession) -> tuple[float, float]:
    """Return processor seconds and memory in MB of the viewer and of the processes that it has started."""
    first = psutil.Process(terminal.process.pid)
    family = [first, *first.children(recursive=True)]
    times = [one.cpu_times() for one in family]
    memory = sum(one.memory_full_info().pss for one in family) / 2**20
    return sum(one.user + one.system for one in times), memory


def _wait_for_a_curve(terminal: TerminalSession) -> None:
    deadline = time.monotonic() + 120
    while not any(dots in terminal.written() for dots in (b"\xe2\xa0", b"\xe2\xa1", b"\xe2\xa3")):
        if time.monotonic() > deadline:
            raise SystemExit(f"no curve is drawn: {terminal.text()}")
        time.sleep(0.05)
    time.sleep(SETTLED)


def _watched(terminal: TerminalSession, seconds: float) -> tuple[float, float, float]:
    """Watch the viewer for `seconds` once it has a curve. Return when that began, percent of a core, memory in MB."""
    _wait_for_a_curve(terminal)
    spent, began = cost(terminal)[0], time.perf_counter()
    time.sleep(seconds)
    later, memory = cost(terminal)
    return began, 100 * (later - spent) / (time.perf_counter() - began), memory


def live(viewer: Viewer, folder: Path, rate: float, seconds: float) -> Callable[[], dict[str, float]]:
    """Measure the viewer on a run that is being written. Return what evaluates it.

    The emulator takes longer than the viewer: what was written to the terminal is read later.
    """
    folder.mkdir(parents=True)
    writer = viewer.writer(folder / "live", rate)
    assert writer.stdout is not None
    lines = writer.stdout
    written: list[tuple[int, float]] = []
    try:
        run = Path(lines.readline().strip())

        def note() -> None:
            written.extend((int(step), float(at)) for step, _, at in (line.partition(" ") for line in lines))

        threading.Thread(target=note, daemon=True).start()
        while not written:
            time.sleep(0.1)
        with viewer.on(run, folder) as terminal:
            began, share, memory = _watched(terminal, seconds)
            raw, arrivals = terminal.written(), ends_of(terminal.arrivals)
    finally:
        writer.kill()
        writer.wait()

    def evaluated() -> dict[str, float]:
        delays = sorted(delays_of(written, viewer.seen(raw, arrivals, began))) or [math.nan]
        return {
            f"{rate:g} rows/s: delay, median, ms": 1000 * statistics.median(delays),
            f"{rate:g} rows/s: delay, p95, ms": 1000 * delays[int(0.95 * (len(delays) - 1))],
            f"{rate:g} rows/s: processor, %": share,
            f"{rate:g} rows/s: memory, MB": memory,
        }

    return evaluated


def delays_of(written: Sequence[tuple[int, float]], seen: Sequence[tuple[int, float]]) -> list[float]:
    """Return for each row after the first seen one how long it took until its step or a later one was shown.

    Both are steps with their times, rising. A row that was never shown counts for nothing.
    """
    found: list[float] = []
    shown = iter(seen)
    step, at = next(shown)
    for row, since in written:
        while step < row:
            try:
                step, at = next(shown)
            except StopIteration:
                return found
        if row > seen[0][0]:
            found.append(at - since)
    return found


def idle(viewer: Viewer, folder: Path, run: Path, seconds: float) -> dict[str, float]:
    """Measure the viewer on a finished run, without any input, once it has read all of it."""
    folder.mkdir(parents=True)
    with viewer.on(run, folder) as terminal:
        since = time.monotonic()
        _wait_for_a_curve(terminal)
        spent = _wait_for_rest(terminal)
        reading = time.monotonic() - since
        _, share, memory = _watched(terminal, seconds)
    return {
        "finished run: until at rest, s": reading,
        "finished run: processor s until then": spent,
        "finished run: processor, %": share,
        "finished run: memory, MB": memory,
    }


def _wait_for_rest(terminal: TerminalSession) -> float:
    """Wait until the viewer takes less than `RESTING` of a core for two windows. Return its processor seconds."""
    deadline, quiet, spent = time.monotonic() + 300, 0, cost(terminal)[0]
    while quiet < 2 and time.monotonic() < deadline:
        time.sleep(WINDOW)
        former, spent = spent, cost(terminal)[0]
        quiet = quiet + 1 if spent - former < RESTING * WINDOW else 0
    return spent


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds for each number (30)")
    parser.add_argument("--rates", type=float, nargs="*", default=RATES, help="rows per second (1 50)")
    parser.add_argument("--no-idle", action="store_true", help="leave the finished run out")
    parser.add_argument("--tries", type=int, default=1, help="runs of each program (1)")
    parser.add_argument("--peer", choices=("leet",), help="another program to compare with")
    parser.add_argument("--wandb", type=Path, default=Path(sys.executable), help="the Python that has wandb")
    parser.add_argument("--peer-run", type=Path, help="a finished run of the peer (its idle numbers are left out)")
    options = parser.parse_args(words)
    ours = Viewer("attach", sys.executable, OURS, r"(\d+)/100000000", program("attach"))
    leet = [str(options.wandb.parent / "wandb"), "beta", "leet"]
    peer = [Viewer("leet", str(options.wandb), LEET, r"_step +(\d+)", leet)] if options.peer else []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        long = None if options.no_idle else write_long_journal(folder / "runs" / "long", 100_000)
        finished = {"attach": long, "leet": options.peer_run}
        for number in range(options.tries):
            measured: list[tuple[str, Callable[[], dict[str, float]]]] = []
            for rate in options.rates:
                for viewer in (ours, *peer):
                    place = folder / f"{viewer.name}-{number}-{rate:g}"
                    measured.append((viewer.name, live(viewer, place, rate, options.seconds)))
            for viewer in (ours, *peer):
                if (run := finished[viewer.name]) is not None:
                    found = idle(viewer, folder / f"{viewer.name}-{number}", run, options.seconds)
                    measured.append((viewer.name, found.copy))
            print("measured", flush=True)
            for name, evaluated in measured:
                for key, value in evaluated().items():
                    print(f"{name:<8} {key:<32} {value:8.1f}", flush=True)


if __name__ == "__main__":
    main()

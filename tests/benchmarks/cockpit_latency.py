"""How long the cockpit keeps a person waiting: `python -m tests.benchmarks.cockpit_latency`.

Key to screen: from the key's arrival at the terminal to the bytes that show its effect, while a training runs. Command
to applied: by the journal's own times, running and paused. Age: how long the screen has been without the oldest step
that was recorded and is not on it yet, looked at again and again, at 1, 3 and 300 steps/s from a writer of its own:
for the newest point that is anywhere, and for each of three charts. Targets: 50 ms (p95), 100 ms while paused, 0.25 s.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from tests.benchmarks.cockpit_cost import QUIET, wait_for_step
from tests.e2e.terminal_session import TerminalSession, program

KEYS = {"events": "\x1b[15~", "charts": "\x1bOQ", "run": "\x1bOR", "log": "\x1b[17~"}

NEWEST = (r"(\d+)/100000000", r"a total (\d+)/", r"b dice (\d+)/", r"a total (\d+)  b thre")
"""What says how far the header and three of the charts are: every metric of the writer is the number of its step."""

WRITER = """
import sys, time
from pathlib import Path
from tests.recorded_run import RecordedRun, metrics_at
rate, directory = float(sys.argv[1]), Path(sys.argv[2])
run = RecordedRun(directory, total_steps=100_000_000)
run.begin()
started = time.time()
step = 0
state = run.state
from dataclasses import replace
while True:
    step += 1
    wait = started + step / rate - time.time()
    if wait > 0:
        time.sleep(wait)
    metrics = dict.fromkeys(metrics_at(step), float(step))
    run.journal.record_step(step, step / 50, tuple(metrics), tuple(metrics.values()))
    state = replace(state, step=step, loss=time.time() % 1000)
    run.journal.record_state(state)
    print(step, time.time(), flush=True)
"""

VIEWER = """
import sys
from pathlib import Path
from cockpit.app.app import CockpitApp
from cockpit.session.session import Session
from cockpit.preferences.settings import Settings
CockpitApp(Session(Path(sys.argv[1])), settings=Settings()).run()
"""


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presses", type=int, default=60)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the training; default: one per core")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the age is looked at, for each rate")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        measure_keys(Path(name), options.presses, options.threads)
    for rate in (1.0, 3.0, 300.0):
        with tempfile.TemporaryDirectory() as name:
            measure_age(Path(name), rate, options.seconds)


def measure_keys(folder: Path, presses: int, threads: int) -> None:
    """Measure keys that change the view, then commands, during a training of the tiny configuration."""
    words = ["--config", "tiny", "--epochs", "100000", "--device", "cpu", "--run", "one"]
    for setting in QUIET:
        words += ["--set", setting]
    environment = {"OMP_NUM_THREADS": str(threads)}
    with TerminalSession(program(*words), folder, size=(200, 50), environment=environment) as terminal:
        wait_for_step(folder / "runs/one", 20)
        seconds = [time_of(terminal, name, KEYS[name]) for _ in range(presses // len(KEYS)) for name in KEYS]
        print(f"key to screen while training: {spread(seconds)}; target p95 50 ms")
        for turn in range(presses // 4):
            terminal.press("lL"[turn % 2])
            time.sleep(0.4)
        running = outcome_seconds(folder / "runs/one")
        print(f"command to applied while running: {spread(running)}; a step takes {step_seconds(folder):.0f} ms")
        terminal.press(" ")
        terminal.wait_for("paused")
        time.sleep(0.5)
        before = len(outcome_seconds(folder / "runs/one"))
        for turn in range(presses // 4):
            terminal.press("lL"[turn % 2])
            time.sleep(0.3)
        time.sleep(0.5)
        print(
            f"command to applied while paused: {spread(outcome_seconds(folder / 'runs/one')[before:])}; target 100 ms"
        )
        terminal.process.send_signal(signal.SIGTERM)
        terminal.wait(60)


def time_of(terminal: TerminalSession, name: str, key: str) -> float:
    """Seconds from a key to the bytes that mark its tab."""
    time.sleep(0.23)
    seen, wanted = len(terminal.raw), f"[{name}]".encode()
    began = time.perf_counter()
    terminal.press(key)
    while wanted not in (fresh := terminal.written(seen)):
        assert time.perf_counter() - began < 20, f"{name} was never shown"
        time.sleep(0.01)
    return terminal.arrival(seen + fresh.index(wanted)) - began


def outcome_seconds(run: Path) -> list[float]:
    """From each command's row to its event's, by the writers' clocks."""
    query = "SELECT events.time - commands.time FROM events JOIN commands ON events.command_id = commands.id"
    with closing(sqlite3.connect(f"file:{run / 'run.sqlite'}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute(f"{query} ORDER BY commands.id")]


def step_seconds(folder: Path) -> float:
    """The median time between two steps, in milliseconds."""
    with closing(sqlite3.connect(f"file:{folder / 'runs/one/run.sqlite'}?mode=ro", uri=True)) as connection:
        times = [row[0] for row in connection.execute("SELECT time FROM steps ORDER BY step")]
    return statistics.median(later - sooner for sooner, later in pairwise(times)) * 1e3


def measure_age(folder: Path, rate: float, seconds: float) -> None:
    """How long the screen has been without what was recorded."""
    directory = folder / "run"
    environment = {"PYTHONPATH": os.getcwd()}
    writer = [sys.executable, "-c", WRITER, str(rate), str(directory)]
    viewer = [sys.executable, "-c", VIEWER, str(directory)]
    with TerminalSession(writer, folder, environment=environment) as source:
        while not (directory / "run.sqlite").exists():
            time.sleep(0.1)
        with TerminalSession(viewer, folder, size=(200, 50), environment=environment) as terminal:
            terminal.wait_for("/100000000")
            time.sleep(6)  # until every tab is made
            samples: list[tuple[float, list[int]]] = []
            began = time.time()
            while time.time() - began < seconds:
                text = terminal.text()
                found = [re.search(sought, text) for sought in NEWEST]
                if all(found):
                    samples.append((time.time(), [int(match[1]) for match in found if match]))
                time.sleep(0.01)
        recorded = {int(a): float(b) for a, b in re.findall(rb"(\d+) (\d+\.\d+)\r", source.written())}

    def age(at: float, step: int) -> float:
        return max(at - recorded.get(step + 1, at), 0.0)

    newest = [(at, age(at, max(steps))) for at, steps in samples]
    charts = [(at, age(at, min(steps[1:]))) for at, steps in samples]
    print(f"age at {rate:g} steps/s: newest point, at any moment: {spread([age for _, age in newest])}; target 250 ms")
    print(f"    newest point, largest of each second: {spread(largest_waits(newest))}")
    print(f"    chart that is furthest behind, largest of each second: {spread(largest_waits(charts))}")


def largest_waits(ages: Sequence[tuple[float, float]]) -> list[float]:
    """The largest age of each second: most of the time nothing is waited for."""
    seconds = [[age for at, age in ages if int(at) == second] for second in sorted({int(at) for at, _ in ages})]
    return [max(second) for second in seconds]


def spread(seconds: Sequence[float]) -> str:
    """Return median, p95 and worst in milliseconds."""
    if not seconds:
        return "nothing measured"
    ordered = sorted(seconds)
    p95 = ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)]
    return (
        f"median {statistics.median(ordered) * 1e3:.0f} ms, p95 {p95 * 1e3:.0f} ms, "
        f"worst {ordered[-1] * 1e3:.0f} ms of {len(ordered)}"
    )


if __name__ == "__main__":
    main()

"""Measure the cost of the screen for the training in the same process: `python -m tests.benchmarks.cockpit_cost`.

Two trainings of the same configuration, one with the cockpit on a terminal of 200x50 that is read, one with --no-ui.
They take turns: while one trains the other is stopped (SIGSTOP), so that each pair has the same machine. Steps are
counted by the times in their journals. Targets: at most 3 % fewer steps, at most 6 % of a core for the screen's thread.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tests.e2e.terminal_session import TerminalSession, program

SETTLE = 0.4
"""Seconds at the begin of a turn that do not count: caches are cold after a stop."""

TICK = os.sysconf("SC_CLK_TCK")
QUIET = ("validation.every_epochs=100000", "checkpoint.every_epochs=0", "checkpoint.every_steps=0")


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print the pairs' ratios and the CPU of the screen's thread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a turn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", default="200x50")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    options = parser.parse_args(words)
    columns, lines = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common = ["--config", options.config, "--epochs", "100000", "--device", "cpu"]
        for setting in (*QUIET, *options.settings):
            common += ["--set", setting]
        environment = {"OMP_NUM_THREADS": str(options.threads)}
        with (
            TerminalSession(
                program(*common, "--run", "seen"), folder, size=(columns, lines), environment=environment
            ) as seen,
            TerminalSession(program(*common, "--run", "bare", "--no-ui"), folder, environment=environment) as bare,
        ):
            wait_for_step(folder / "runs/seen", 20)
            wait_for_step(folder / "runs/bare", 20)
            trainer = seen.trainer().pid
            os.kill(trainer, signal.SIGSTOP)
            os.kill(bare.process.pid, signal.SIGSTOP)
            turns = [
                (
                    turn(seen, folder / "runs/seen", options.seconds, trainer),
                    turn(bare, folder / "runs/bare", options.seconds, bare.process.pid),
                )
                for _ in range(options.pairs + 1)
            ][1:]
            print_charts(seen)
    report(turns)


def turn(session: TerminalSession, run: Path, seconds: float, pid: int) -> tuple[float, float]:
    """Steps per second, and the share of a core that the main thread of process `pid` took, in one turn."""
    session.process.send_signal(signal.SIGCONT)  # the process that a shell would wait for continues its child
    time.sleep(SETTLE)
    began, busy = time.time(), main_thread_seconds(pid)
    time.sleep(seconds)
    ended, spent = time.time(), main_thread_seconds(pid) - busy
    time.sleep(SETTLE)
    os.kill(pid, signal.SIGSTOP)
    return steps_between(run, began, ended) / (ended - began), spent / (ended - began)


def main_thread_seconds(pid: int) -> float:
    """CPU seconds of the thread whose number is the process's: the one that the screen runs in."""
    fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def steps_between(run: Path, began: float, ended: float) -> float:
    """Steps recorded in that time, the first and the last one in part."""
    with closing(sqlite3.connect(f"file:{run / 'run.sqlite'}?mode=ro", uri=True)) as connection:
        query = "SELECT time FROM steps WHERE time BETWEEN ? AND ? ORDER BY time"
        times = [row[0] for row in connection.execute(query, (began, ended))]
    if len(times) < 2:
        return len(times)
    return (len(times) - 1) / (times[-1] - times[0]) * (ended - began)


def wait_for_step(run: Path, step: int) -> None:
    """Wait until the run has taken so many steps."""
    while True:
        try:
            if steps_between(run, 0, time.time()) >= step:
                return
        except sqlite3.Error:
            pass
        time.sleep(0.2)


def print_charts(session: TerminalSession) -> None:
    """How many charts the screen shows: what the cost is the cost of."""
    print(f"charts on the screen: {sum(line.count('╭') for line in session.text().splitlines())}")


def report(turns: list[tuple[tuple[float, float], tuple[float, float]]]) -> None:
    """The medians over the pairs."""
    ratios = sorted(seen[0] / bare[0] for seen, bare in turns)
    low, high = ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]
    seen = statistics.median(pair[0][0] for pair in turns)
    bare = statistics.median(pair[1][0] for pair in turns)
    busy = statistics.median(pair[0][1] for pair in turns)
    print(f"steps/s: {seen:.2f} with the cockpit, {bare:.2f} with --no-ui, medians of {len(turns)} turns")
    print(f"ratio of pairs: median {statistics.median(ratios):.3f}, quartiles {low:.3f} to {high:.3f}; target 0.97")
    print(f"the screen's thread: {busy:.1%} of a core; target 6 %")


if __name__ == "__main__":
    main()

"""How soon after the command there is something to see: `python -m tests.benchmarks.first_frame [--attach]`.

`python main.py` on a terminal of 200x50, several times: seconds from the start of the process to the first frame and
to the main screen, beside them the processor seconds spent until then, in which other work on the machine shows less.
With `--attach`: `main.py attach` on a finished run of 100,000 steps of 20 metrics, also to the first curve. Modules are
compiled, as after any first start. Target: the first frame, or the first curve, within 0.5 s on a quiet machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from tests.benchmarks.chart_history import BRAILLE, compiled, cpu_seconds
from tests.e2e.terminal_session import TerminalSession, program
from tests.long_journal import write_long_journal

SIGNS: Final = {"first frame": b"Training Cockpit", "main screen": b"[charts]"}
"""What is written when it is there."""

CURVE: Final = {"first curve": BRAILLE}
STEPS: Final = 100_000
TRAINING: Final = ("--config", "tiny", "--device", "cpu")


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=7)
    parser.add_argument("--size", default="200x50")
    parser.add_argument("--attach", action="store_true", help="attach to a long finished run")
    options = parser.parse_args(words)
    columns, lines = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.attach:
            write_long_journal(folder / "runs" / "long", STEPS)
        starts = [
            ["attach", "long"]
            if options.attach
            else ["--config", "tiny", "--device", "cpu", "--run", f"start-{number}"]
            for number in range(options.tries + 1)
        ]
        signs = SIGNS | CURVE if options.attach else SIGNS
        found = [start(program(*words), folder, signs, (columns, lines)) for words in starts][1:]
    for key in found[0]:
        values = sorted(one[key] for one in found)
        print(f"{key:<18} {statistics.median(values):.2f} s   ({values[0]:.2f} .. {values[-1]:.2f})")


def start(command: list[str], folder: Path, signs: Mapping[str, bytes], size: tuple[int, int]) -> dict[str, float]:
    """Seconds and processor seconds until each sign is written by one start of the program, which is then ended."""
    seconds: dict[str, float] = {}
    began = time.perf_counter()
    with TerminalSession(command, folder, size=size, environment=compiled(folder)) as terminal:
        for name, sign in signs.items():
            while sign not in terminal.written():
                if terminal.process.poll() is not None or time.perf_counter() - began > 120:
                    raise SystemExit(f"there is no {name}: {terminal.text()}")
                time.sleep(0.002)
            seconds[name] = time.perf_counter() - began
            children = psutil.Process(terminal.process.pid).children()
            seconds[f"{name}, CPU"] = sum(map(cpu_seconds, (terminal.process.pid, *(child.pid for child in children))))
    return seconds


if __name__ == "__main__":
    main()

"""How soon after the command there is something to see: `python -m tests.benchmarks.first_frame`.

`python main.py` on a terminal of 200x50, several times: seconds from the start of the process to the first frame and
to the main screen, beside them the processor seconds spent until then, in which other work on the machine shows less.
Modules are compiled, as after any first start. Target: the first frame within 0.5 s on a quiet machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.chart_history import compiled, cpu_seconds
from tests.e2e.terminal_session import TerminalSession, program

SIGNS: Final = {"first frame": b"Training Cockpit", "main screen": b"[charts]"}
"""What is written when it is there."""


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=7)
    parser.add_argument("--size", default="200x50")
    options = parser.parse_args(words)
    columns, lines = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start(folder, 0, (columns, lines))
        found = [start(folder, number, (columns, lines)) for number in range(1, options.tries + 1)]
    for key in found[0]:
        values = sorted(one[key] for one in found)
        print(f"{key:<18} {statistics.median(values):.2f} s   ({values[0]:.2f} .. {values[-1]:.2f})")


def start(folder: Path, number: int, size: tuple[int, int]) -> dict[str, float]:
    """Seconds and processor seconds until each sign is written by one start of the program, which is then ended."""
    command = program("--config", "tiny", "--device", "cpu", "--run", f"start-{number}")
    seconds: dict[str, float] = {}
    began = time.perf_counter()
    with TerminalSession(command, folder, size=size, environment=compiled(folder)) as terminal:
        for name, sign in SIGNS.items():
            while sign not in terminal.written():
                if terminal.process.poll() is not None or time.perf_counter() - began > 120:
                    raise SystemExit(f"there is no {name}: {terminal.text()}")
                time.sleep(0.002)
            seconds[name] = time.perf_counter() - began
            seconds[f"{name}, CPU"] = cpu_seconds(terminal.process.pid)
    return seconds


if __name__ == "__main__":
    main()

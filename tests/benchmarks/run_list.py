"""How soon `python main.py runs` shows a directory of many runs: `python -m tests.benchmarks.run_list`.

Runs are copies of three small finished journals. Seconds, and processor seconds of the program, from the start of the
process to the first row, to the first complete screen, and until all runs are read, on a terminal of 120x40. Cold: no
run was read before, so there is no index; warm: the index of a former start. Modules are compiled, as after any first
start. Target: the complete screen within 1 s, cold and warm, and all runs within 1 s warm.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.chart_history import compiled, cpu_seconds
from tests.e2e.terminal_session import TerminalSession, program
from tests.many_runs import make_runs

SIZE: Final = (120, 40)
_ROWS: Final = slice(3, SIZE[1] - 3)
"""Lines of the screen with rows."""


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--tries", type=int, default=5)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_runs(folder / "runs", options.runs)
        start(folder, "compiling", options.runs)
        cold = [start(folder, f"cold-{number}", options.runs) for number in range(options.tries)]
        warm = [start(folder, "cold-0", options.runs) for _ in range(options.tries)]
    for word, found in (("cold", cold), ("warm", warm)):
        for key in found[0]:
            values = sorted(one[key] for one in found)
            print(f"{word}, {key:<22} {statistics.median(values):.2f} s   ({values[0]:.2f} .. {values[-1]:.2f})")


def start(folder: Path, cache: str, count: int) -> dict[str, float]:
    """Return the seconds until each sign is on the screen after one start with the index in the folder `cache`."""
    signs: dict[str, Callable[[str], bool]] = {
        "first row": lambda text: "tiny-" in text,
        "complete screen": lambda text: all("finished" in line for line in text.splitlines()[_ROWS]),
        "all runs": lambda text: f"{count} runs, by" in text,
    }
    seconds: dict[str, float] = {}
    environment = {**compiled(folder), "XDG_CACHE_HOME": str(folder / cache)}
    began = time.perf_counter()
    with TerminalSession(program("runs"), folder, size=SIZE, environment=environment) as terminal:
        for name, is_there in signs.items():
            while not is_there(terminal.text()):
                if terminal.process.poll() is not None or time.perf_counter() - began > 120:
                    raise SystemExit(f"there is no {name}: {terminal.text()}")
                time.sleep(0.005)
            seconds[name] = time.perf_counter() - began
            seconds[f"{name}, CPU"] = cpu_seconds(terminal.process.pid)
        terminal.press("q")
        terminal.process.wait(30)
    return seconds


if __name__ == "__main__":
    main()

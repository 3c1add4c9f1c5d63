"""How fast a long history is on the screen, and what it costs: `python -m tests.benchmarks.chart_history`.

Medians over several processes, each timed from its start: a session alone (first columns, first chart drawn, all of
the history, memory), and the real cockpit on a pseudo-terminal of 200 x 50 (first chart seen, processor time while
nothing changes, memory). Seconds of the wall clock, beside them of processor time where other work disturbs the first.
The journal of 20 metrics is made in a temporary directory; modules are compiled, as after any first start.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.long_journal import METRICS, write_long_journal

TICKS: Final = os.sysconf("SC_CLK_TCK")
BRAILLE: Final = "\u2800".encode()[:2]

SESSION: Final = """
import sys, time
started, run = float(sys.argv[1]), sys.argv[2]
from pathlib import Path
from cockpit.session.session import Session
session = Session(Path(run))
session.poll()
history = session.history
history.buckets("loss/total", first=history.first_step, last=history.last_step + 1, columns=156)
times = {"first columns": time.time() - started}
from cockpit.charts.build import ChartInputs, Options
from cockpit.charts.chart_specs import charts_for
from cockpit.charts.draw.glyphs import BRAILLE
from cockpit.charts.annotations.marks import NO_MARKS
from cockpit.charts.draw.plot import draw
from cockpit.charts.view import View
LOSS = charts_for(session.spec)[0]
inputs = ChartInputs(history, View(), NO_MARKS, {}, session.state)
draw(LOSS, Options.of(LOSS), inputs, (78, 18), BRAILLE)
times["first chart"] = time.time() - started
times["first chart, CPU"] = time.process_time()
while history.loading < 1:
    time.sleep(0.02)
    session.poll()
times["whole history"] = time.time() - started
times["whole history, CPU"] = time.process_time()
import json, resource
assert "torch" not in sys.modules
assert history.first_step == 1
times["NaNs kept"] = history.non_finite("loss/total").size
times["memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
spent, since = time.process_time(), time.time()
while time.time() < since + float(sys.argv[3]):
    session.poll()
    time.sleep(0.1)
times["idle, %"] = 100 * (time.process_time() - spent) / (time.time() - since)
print(json.dumps(times))
"""

SCREEN: Final = """
import gc, sys
gc.disable()  # as main.py does while the screen is imported
from pathlib import Path
from cockpit.app.app import CockpitApp
from cockpit.preferences.settings import Settings
CockpitApp(Path(sys.argv[2]), settings=Settings()).run()
"""


def session_alone(run: Path, idle_seconds: float) -> dict[str, float]:
    """One process with a session and no screen."""
    command = [sys.executable, "-c", SESSION, str(time.time()), str(run), str(idle_seconds)]
    environment = {**os.environ, **compiled(run.parent)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout)


def real_screen(run: Path, idle_seconds: float) -> dict[str, float]:
    """One process with the cockpit on a terminal of its own; it is killed at the end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    started = time.time()
    command = [sys.executable, "-c", SCREEN, str(started), str(run)]
    environment = {**os.environ, **compiled(run.parent), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    screen = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        seen = _read_until(ours, BRAILLE, seconds=60)
        cpu_seen = cpu_seconds(screen.pid)
        _read_until(ours, None, seconds=5)
        spent, since = cpu_seconds(screen.pid), time.time()
        _read_until(ours, None, seconds=idle_seconds)
        share = 100 * (cpu_seconds(screen.pid) - spent) / (time.time() - since)
        memory = _status(screen.pid, "VmHWM") / 1024
        first = {"first chart on screen": seen - started, "the same, CPU": cpu_seen}
        return {**first, "screen idle, %": share, "screen memory, MB": memory}
    finally:
        screen.kill()
        screen.wait()
        os.close(ours)


def _read_until(terminal: int, wanted: bytes | None, *, seconds: float) -> float:
    """Take what the screen writes until it has written `wanted`; returns when that was."""
    end, tail = time.time() + seconds, b""
    while time.time() < end:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.time()))
        tail = tail[-8:] + (os.read(terminal, 65536) if ready else b"")
        if wanted is not None and wanted in tail:
            return time.time()
    if wanted is not None:
        raise SystemExit(f"the screen has not drawn a chart within {seconds:.0f} s: {tail[-300:]!r}")
    return time.time()


def compiled(folder: Path) -> dict[str, str]:
    """Return an environment in which modules are compiled once and kept in `folder`, so that later starts are fast."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken so far, all of its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _status(pid: int, key: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def report(measure: Callable[[Path, float], dict[str, float]], run: Path, tries: int, idle_seconds: float) -> None:
    """One line for each number: its median, least and greatest over `tries` processes."""
    measure(run, 0.1)  # compiles what is imported
    found = [measure(run, idle_seconds) for _ in range(tries)]
    for key in found[0]:
        values = sorted(one[key] for one in found)
        print(f"  {key:<24} {statistics.median(values):8.2f}   ({values[0]:.2f} .. {values[-1]:.2f})", flush=True)


def main() -> None:
    """Measure 100,000 steps, and a million where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=5, help="processes per number (5)")
    parser.add_argument("--idle-seconds", type=float, default=5.0, help="how long to watch an idle process (5)")
    parser.add_argument("--million", action="store_true", help="also 1,000,000 steps, session alone")
    parser.add_argument("--no-screen", action="store_true", help="leave the cockpit on a terminal out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        for steps in (100_000, 1_000_000) if options.million else (100_000,):
            run = write_long_journal(Path(directory) / str(steps), steps)
            print(f"{steps:,} steps x {len(METRICS)} metrics; load {os.getloadavg()[0]:.1f}", flush=True)
            report(session_alone, run, options.tries, options.idle_seconds)
            if steps == 100_000 and not options.no_screen:
                report(real_screen, run, options.tries, options.idle_seconds)


if __name__ == "__main__":
    main()

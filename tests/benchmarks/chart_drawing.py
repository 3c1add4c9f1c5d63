"""CPU per redraw of six charts on a 200x50 screen, against plotext: `python -m tests.benchmarks.chart_drawing`.

Ours: one more step arrives, the visible charts are drawn from the run's history (28 metrics), and every row of them is
made for the terminal. plotext: six braille figures of the same size with one curve each, fewer than ours have. Medians
of CPU time in one run: read the ratio. (While a run takes steps the charts take turns; here all six are drawn.)
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import numpy as np
import plotext
from numpy.typing import NDArray

from cockpit.session.history.history import History
from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE
from engine.journal.series import RowBlock, Rows
from engine.tasks.person.spec import LOSS_TERMS
from tests.panels.charts.chart_stage import ArraySession, ChartStage

SIZE: Final = (200, 50)
NUM_CHARTS: Final = 6
POINTS: Final = (200, 2_000, 100_000)
NAMES: Final = (
    "loss/total",
    *(f"loss/{term}" for term in LOSS_TERMS),
    *(f"loss_raw/{term}" for term in LOSS_TERMS),
    "grad_norm/total",
    *(f"grad_norm/part{number}" for number in range(8)),
    "lr",
    "samples_per_second",
)
VALIDATIONS: Final = ("val/miou", "val/iou_background", "val/iou_target", "val/iou_other")


def rows(names: tuple[str, ...], steps: NDArray[np.int64]) -> Rows:
    """Noisy, falling values of every metric at these steps."""
    noise = np.random.default_rng(int(steps[0])).lognormal(0, 0.3, (steps.size, len(names)))
    values = (noise * (0.3 + np.exp(-steps / 2e4))[:, None]).astype(np.float32)
    return Rows(steps, (RowBlock(0, names, np.arange(steps.size), values),))


def history_of(num_steps: int) -> History:
    """A run of that many steps with twenty validations."""
    history = History()
    history.append("steps", rows(NAMES, np.arange(1, num_steps + 1)))
    history.append("validations", rows(VALIDATIONS, np.linspace(num_steps / 20, num_steps, 20).astype(np.int64)))
    return history


def cpu(work: Callable[[], object], tries: int) -> float:
    """The median CPU time of `tries` runs in milliseconds."""
    timings: list[float] = []
    for _ in range(tries):
        started = time.process_time()
        work()
        timings.append(time.process_time() - started)
    return 1e3 * statistics.median(timings)


async def ours(num_steps: int) -> float:
    """A redraw after each of 40 new steps."""
    history = history_of(num_steps)
    app = ChartStage(ArraySession(cast(Any, history)))
    async with app.run_test(size=SIZE) as pilot:
        app.apply_update()
        await pilot.pause()
        charts = app.grid.board.shown
        assert len(charts) == NUM_CHARTS
        step = num_steps

        def redraw() -> None:
            nonlocal step
            step += 1
            history.append("steps", rows(NAMES, np.array([step])))
            app.grid.apply_update(cast(Session, app.session), FULL_UPDATE)
            for chart in charts:
                for y in range(chart.size.height):
                    chart.render_line(y).render(app.console)

        arriving = cpu(lambda: rows(NAMES, np.array([7])), 40)
        return cpu(redraw, 40) - arriving


def theirs(num_steps: int) -> float:
    """Six figures as large as our charts, built and thrown away."""
    values = rows(NAMES, np.arange(1, num_steps + 1)).parts[0].values_NK

    def redraw() -> None:
        for number in range(NUM_CHARTS):
            plotext.clear_figure()
            plotext.limit_size(False, False)
            plotext.plot_size(66, 24)
            plotext.plot(values[:, number].tolist(), marker="braille")
            plotext.build()

    return cpu(redraw, 1 if num_steps > 10_000 else 5)


def main(words: Sequence[str] | None = None) -> None:
    """Print one line per length of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(words)
    for num_steps in POINTS:
        whole, other = asyncio.run(ours(num_steps)), theirs(num_steps)
        print(f"{num_steps:>7} points: ours {whole:.1f} ms, plotext {other:.1f} ms, ratio {other / whole:.0f}")


if __name__ == "__main__":
    main()

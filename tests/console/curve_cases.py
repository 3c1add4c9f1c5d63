"""Values of a curve that are hard to draw, by name, and the cost of drawing."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

NAN, INF = float("nan"), float("inf")

CASES = {
    "empty": [],
    "one": [3.0],
    "two": [3.0, 4.0],
    "constant": [2.0] * 50,
    "zero": [0.0] * 50,
    "negative": [-1.0, -2.0, -3.0],
    "tiny": [1e-12 * value for value in range(1, 50)],
    "huge": [1e12 * value for value in range(1, 50)],
    "close": [1e12 + 65536 * (value % 5) for value in range(50)],
    "float32 ends": [3.4e38, -3.4e38, 1e-45],
    "all nan": [NAN] * 5,
    "all inf": [INF, -INF],
    "nan between": [1.0, NAN, 2.0],
    "nan alternating": [1.0, NAN] * 200,
    "nan first": [NAN, 1.0, 2.0],
    "inf last": [1.0, 2.0, INF],
    "hundred thousand": list(np.sin(np.arange(100_000) / 1000)),
}


def least_seconds(run: Callable[[], object]) -> float:
    """Return the least CPU seconds of this thread that one of five calls of `run` takes."""
    costs: list[float] = []
    for _ in range(5):
        start = time.thread_time()
        run()
        costs.append(time.thread_time() - start)
    return min(costs)

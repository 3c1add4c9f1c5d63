"""The time limit of a process: parse it, and decide when the run has to begin its end."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Final

SLURM_END: Final = "SLURM_JOB_END_TIME"
"""Slurm's environment variable with the end of the job, in seconds since 1970."""

FORMS: Final = "write 3h55m, 90m, 45s or, as Slurm does, 1-02:30:00"

_UNITS: Final = re.compile(
    r"(?:(?P<d>\d+(?:\.\d+)?)d)?(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?",
    re.IGNORECASE,
)
_SLURM: Final = re.compile(r"(?:(?P<d>\d+)-)?(?P<h>\d+):(?P<m>\d+)(?::(?P<s>\d+))?")
_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_LONGEST: Final = 366 * 86400.0
_DECAY: Final = 0.999
"""Factor per step by which the longest known time between two looks is forgotten."""
_LEAST_MARGIN: Final = 1.0
_MOST_MARGIN: Final = 30.0
"""Seconds of the margin: a twentieth of the limit, within these bounds."""
_FIRST_CHECKPOINT: Final = 2.0
"""Seconds to reserve for the last checkpoint before one was measured."""
_AHEAD: Final = 300.0
"""Seconds before the end at which it is announced; a tenth of the limit if that is shorter."""


def parse_seconds(text: str) -> float:
    """Return the seconds in `text`, such as 3h55m or 1-02:30:00. Raises ValueError with a sentence."""
    word = text.strip()
    found = _SLURM.fullmatch(word) if ":" in word else _UNITS.fullmatch(word)
    if found is None or not word:
        raise ValueError(f"{text[:40]!r} is not a time: {FORMS}")
    numbers = {unit: float(number) for unit, number in found.groupdict().items() if number is not None}
    if ":" in word and found["s"] is None and found["d"] is None:  # Slurm reads two numbers as minutes and seconds
        numbers = {"m": numbers["h"], "s": numbers["m"]}
    seconds = sum(number * _SECONDS[unit] for unit, number in numbers.items())
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"{text[:40]!r} is not a time above 0 and up to a year: {FORMS}")
    return seconds


class TimeLimit:
    """Decides when a run must begin its end, so that its last checkpoint is written before the limit.

    Calls of `is_due` measure the time of a step, and of all else that lies between two of them. `forget_a_little` is
    called after each step: fast steps replace a slow one. `checkpoint_seconds` is set to the time of a checkpoint. Only
    one thread may call these.
    """

    def __init__(self, seconds: float, said: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.said = said
        self.checkpoint_seconds = _FIRST_CHECKPOINT
        self._clock = clock
        self._seconds = seconds
        self._ends_at = clock() + seconds
        self._last_look = math.nan
        self._longest = 0.0

    @property
    def reserve(self) -> float:
        """Seconds before the limit at which the end begins: the longest step twice, the checkpoint twice, a margin."""
        margin = min(max(0.05 * self._seconds, _LEAST_MARGIN), _MOST_MARGIN)
        return 2 * self._longest + 2 * self.checkpoint_seconds + margin

    @property
    def left(self) -> float:
        """Seconds until the end begins, negative after it."""
        return self._ends_at - self.reserve - self._clock()

    @property
    def is_near(self) -> bool:
        """Whether the end should be announced: it begins in five minutes, or in a tenth of the limit.

        With steps that are longer than this, it is announced one step before.
        """
        return self.left - self._longest <= min(_AHEAD, 0.1 * self._seconds)

    def is_due(self) -> bool:
        """Return whether the end must begin now."""
        now = self._clock()
        self._longest = max(self._longest, now - self._last_look)  # in this order: after `skip` the other is NaN
        self._last_look = now
        return now >= self._ends_at - self.reserve

    def forget_a_little(self) -> None:
        """Reduce the longest known time, after a step.

        Looks without a step, as in a pause, while data are awaited or in a validation, say nothing about steps.
        """
        self._longest *= _DECAY

    def skip(self) -> None:
        """Leave the time until the next call of `is_due` out: that of a pause."""
        self._last_look = math.nan


def time_limit(option: str, environment: Mapping[str, str] = os.environ) -> TimeLimit | None:
    """Return the limit of `option`; if that is empty, of Slurm's variable; `None` for neither, and for `none`.

    A value of Slurm's variable that is no time in the future is ignored: a shell may have inherited it. Raises
    ValueError for another option.
    """
    if option.strip().lower() == "none":
        return None
    if option:
        return TimeLimit(parse_seconds(option), f"--time-limit {option.strip()}")
    text = environment.get(SLURM_END, "")
    seconds = float(text) - time.time() if text.isdecimal() else 0.0
    return TimeLimit(seconds, SLURM_END) if 0 < seconds <= _LONGEST else None

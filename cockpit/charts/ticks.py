"""Round values next to an axis, and labels of bounded width for them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

from cockpit.charts.columns.window import AxisKind
from cockpit.charts.scale import Scale

MAX_LABEL: Final = 8
"""The greatest width of a value label."""


def compact(value: float, digits: int = 4) -> str:
    """Format a number in at most `digits` significant digits with short exponents: 0.0123, 1.2e-12, 3e6, NaN, Inf."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Inf" if value > 0 else "-Inf")
    text = f"{value:.{digits}g}"
    if digits >= 4 and 1e4 <= abs(value) < 1e6 and "e" in text:
        text = f"{value:.0f}"
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if mark else text


def narrow(value: float, width: int = MAX_LABEL) -> str:
    """Format a number in at most `width` (at least 6) characters, with up to four digits."""
    texts = [compact(value, digits) for digits in (4, 3, 2, 1)]
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    return next((text for text in texts if len(text) <= width), f"{mantissa}e{int(exponent or 0)}")


def value_ticks(scale: Scale, count: int, width: int = MAX_LABEL) -> list[tuple[float, str]]:
    """Return about `count` (at least 2) round values inside the range, rising, each with a unique label."""
    count = max(count, 2)
    values = _decades(scale.low, scale.high, count) if scale.log else round_values(scale.low, scale.high, count)
    if len(values) < 2:  # the range lies between two multiples of the step
        values = round_values(scale.low, scale.high, 2 * count) if not scale.log else values
    labels = [compact(value) for value in values] if scale.log else []
    return list(zip(values, labels if _fits(labels, values, width) else _labels(values, width), strict=True))


def round_values(low: float, high: float, count: int) -> list[float]:
    """Return the multiples of 1, 2 or 5 times a power of ten in low..high, at most `count` + 1 of them."""
    rough = (high - low) / max(count, 1)
    if not (math.isfinite(rough) and rough > 0):
        return []
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _decades(low: float, high: float, count: int) -> list[float]:
    """Return powers of ten inside the exponents low..high, with 2 and 5 between if there is room."""
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    whole = last - first + 1
    if whole >= 2 and whole * 3 > count:
        return [10.0**exponent for exponent in range(first, last + 1, -(-whole // count))]
    finer = [factor * 10.0**exponent for exponent in range(first - 1, last + 1) for factor in (1, 2, 5)]
    inside = [value for value in finer if low - 1e-9 <= math.log10(value) <= high + 1e-9]
    return inside if len(inside) >= 2 else [v for v in round_values(10.0**low, 10.0**high, count) if v > 0]


def _labels(values: list[float], width: int) -> list[str]:
    """Return unique labels; if that takes too many digits, label the distance from the lowest value."""
    plain = [_fixed(value, values) for value in values]
    if _fits(plain, values, width):
        return plain
    for digits in range(1, 9):
        labels = [compact(value, digits) for value in values]
        if _fits(labels, values, width):
            return labels
    first = values[0]
    return [narrow(first, width), *(f"+{compact(value - first, 2)}" for value in values[1:])]


def _fits(labels: list[str], values: list[float], width: int) -> bool:
    """Return whether all labels are unique, fit, and are off by at most a twentieth of a step."""
    step = min((abs(b - a) for a, b in pairwise(values)), default=math.inf)
    exact = len(labels) == len(values) and all(
        abs(float(label) - value) <= 0.05 * step for label, value in zip(labels, values, strict=False)
    )
    return exact and len(set(labels)) == len(labels) and max(map(len, labels), default=0) <= width


def _fixed(value: float, values: list[float]) -> str:
    """Format a value with the decimals that the finest of `values` needs, if its size allows."""
    step = min((abs(b - a) for a, b in pairwise(values)), default=0.0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    if step == 0 or decimals > 4 or abs(value) >= 1e6:
        return compact(value)
    return f"{value:.{decimals}f}"


def step_label(step: float) -> str:
    """Format a step in full, with spaces between thousands from 10 000 on."""
    number = round(step)
    return f"{number:,}".replace(",", " ") if abs(number) >= 10_000 else str(number)


_CLOCK_STEPS: Final = (
    *(factor * power for power in (1e-3, 1e-2, 0.1, 1.0) for factor in (1, 2, 5)),
    *(10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0),
    *(3600.0 * hours for hours in (1, 2, 3, 6, 12, 24, 48, 120)),
)
"""Distances in seconds between two labels of a time axis; beyond them whole multiples of ten days."""


def place_ticks(kind: AxisKind, low: float, high: float, count: int) -> list[tuple[float, str]]:
    """Return round places on an axis other than the step from `low` up to `high`, each with its label."""
    if kind == "samples":
        return [(value, step_label(value)) for value in round_values(low, high, count) if value < high]
    if kind != "time":
        values = [value for value in round_values(low, high, count) if value < high]
        return list(zip(values, _labels(values, MAX_LABEL) if values else [], strict=True))
    rough = (high - low) / max(count, 1)
    distance = next((step for step in _CLOCK_STEPS if step >= rough), 0.0) or 864_000.0 * math.ceil(rough / 864_000)
    first, last = math.ceil(low / distance - 1e-9), math.ceil(high / distance - 1e-9)
    return [(index * distance, clock_label(index * distance, distance)) for index in range(first, last)]


def place_label(kind: AxisKind, place: float) -> str:
    """Return the label of one place on an axis: epochs with two decimals, time to the second."""
    match kind:
        case "epoch":
            return f"{place:.2f}"
        case "time":
            return clock_label(place, 0.01 if abs(place) < 10 else 1.0 if abs(place) < 86_400 else 60.0)
        case _:
            return step_label(place)


def clock_label(seconds: float, grain: float = 1.0) -> str:
    """Return a time in whole multiples of `grain` without blanks: 0.5s, 45s, 5m, 5m30s, 1h05m, 2d06h."""
    decimals = max(0, math.ceil(-math.log10(grain) - 1e-9)) if grain < 1 else 0
    minutes, second = divmod(round(abs(seconds), decimals), 60)
    hours, minute = divmod(int(minutes), 60)
    days, hour = divmod(hours, 24)
    parts = [(days, "d"), (hour, "h"), (minute, "m"), (round(second, decimals), "s")]
    while parts and not parts[0][0]:
        parts.pop(0)
    while parts and not parts[-1][0]:
        parts.pop()
    texts = [
        f"{value:g}{unit}" if at == 0 or value >= 10 else f"0{value:g}{unit}" for at, (value, unit) in enumerate(parts)
    ]
    return ("-" if seconds < 0 and parts else "") + ("".join(texts) or "0s")

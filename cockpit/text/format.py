"""Format numbers, names and foreign text for a terminal; control characters are escaped."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that a terminal interprets or hides: controls, direction marks, surrogates, separators."""


_DAY = 86_400
_UNITS = (("y", 365 * _DAY), ("mo", 30 * _DAY), ("d", _DAY), ("h", 3_600), ("min", 60))
"""Units of an age with their seconds, the largest first."""


def escape_control(text: str) -> str:
    """Return `text` on one line, with each unprintable character escaped as in Python: \\x1b, \\n, \\u202e."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _UNSEEN else character
        for character in text
    )


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with `digits` significant digits; NaN and Inf by name, a dash for `None`."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Inf" if value > 0 else "-Inf")
    return f"{value:.{digits}g}"


def decimal(value: float, decimals: int) -> str:
    """Return a number with `decimals`, such as a score; as `number` does if these would hide it: 1.5e-05, 2e+09."""
    is_plain = value == 0 or 10.0 ** (1 - decimals) <= abs(value) < 1e6
    return f"{value:.{decimals}f}" if is_plain else number(value)


def clip_text(value: float) -> str:
    """Return the bound of the gradient clip, 'off' for an infinite one."""
    return "off" if value == math.inf else number(value)


def rate(value: float) -> str:
    """Return a learning rate in scientific notation with two decimals: 5.00e-06."""
    return f"{value:.2e}"


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units: 12 s, 3 min 05 s, 2 h 07 min, 4 d 03 h."""
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days} d {hours_left:02d} h"
    if hours:
        return f"{hours} h {minutes_left:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def age(seconds: float) -> str:
    """Return an age in its largest unit: 'now', '12 s', '5 min', '3 h', '2 d', '4 mo', '1 y'."""
    if seconds < 1:
        return "now"
    fitting = (f"{int(seconds // length)} {name}" for name, length in _UNITS if seconds >= length)
    return next(fitting, f"{int(seconds)} s")


def on_off(enabled: bool) -> str:
    """Return the word for a switch: 'on' or 'off'."""
    return "on" if enabled else "off"


def listed(names: Iterable[str]) -> str:
    """Return `names` separated by commas, 'nothing' if there are none."""
    return ", ".join(names) or "nothing"


def counted(count: int, noun: str) -> str:
    """Return a number of things: '1 key', '3 keys'."""
    return f"{count} {noun if count == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of a noun that a task supplies: 'samples', 'batches', 'categories'."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou") else f"{noun}s"

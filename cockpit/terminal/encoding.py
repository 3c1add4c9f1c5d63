"""Whether a terminal can be expected to show more than ASCII."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

_PLAIN: Final = ("linux", "vt", "ansi", "cons25", "sun")
"""Beginnings of the names of terminals whose fonts have no braille."""


def shows_unicode(environment: Mapping[str, str] = os.environ, *, coerced: bool | None = None) -> bool:
    """Whether the locale speaks UTF-8 and the terminal is none that is known to have few characters.

    Python sets LC_CTYPE itself where it was started with the locale C (`coerced`); that says nothing of the terminal.
    A locale that was never set does not either: containers have none.
    """
    if environment.get("TERM", "").startswith(_PLAIN):
        return False
    if coerced is None:
        coerced = bool(sys.flags.utf8_mode) and environment.get("LC_CTYPE") == "C.UTF-8"
    names = ("LC_ALL", "LANG") if coerced else ("LC_ALL", "LC_CTYPE", "LANG")
    locale = next((value for name in names if (value := environment.get(name))), "")
    return not locale or locale.lower().replace("-", "").partition("@")[0].endswith("utf8")

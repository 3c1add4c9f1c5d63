"""Detection of terminals that can show more than ASCII."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

_PLAIN: Final = ("linux", "vt", "ansi", "cons25", "sun")
"""Beginnings of the names of terminals whose fonts have no braille."""


def shows_unicode(environment: Mapping[str, str] = os.environ, *, coerced: bool | None = None) -> bool:
    """Return whether the locale uses UTF-8 and the terminal is not known to lack characters.

    Python sets LC_CTYPE itself if it starts in the locale C (`coerced`); this does not describe the terminal. An unset
    locale does not either, as in containers.
    """
    if environment.get("TERM", "").startswith(_PLAIN):
        return False
    if coerced is None:
        coerced = bool(sys.flags.utf8_mode) and environment.get("LC_CTYPE") == "C.UTF-8"
    names = ("LC_ALL", "LANG") if coerced else ("LC_ALL", "LC_CTYPE", "LANG")
    locale = next((value for name in names if (value := environment.get(name))), "")
    return not locale or locale.lower().replace("-", "").partition("@")[0].endswith("utf8")

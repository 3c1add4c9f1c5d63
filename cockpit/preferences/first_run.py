"""The hint for a first run: one line that disappears for good once it was followed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from cockpit.preferences.settings import state_folder

HINT: Final = "New here? ? shows all keys, F1 explains, : finds actions. Each ends this hint."

_SEEN: Final = "hints-seen"


def is_first_time() -> bool:
    """Return whether the hint was never followed on this account."""
    return not _file().exists()


def remember() -> None:
    """Store that the hint was followed. A home directory that cannot be written is ignored."""
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        _file().touch()


def _file() -> Path:
    return state_folder() / _SEEN

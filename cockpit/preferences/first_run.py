"""What a person is told the first time: one line that goes for good once it was followed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from cockpit.preferences.settings import state_folder

HINT: Final = "New here? ? shows all keys, F1 explains, : finds actions. Each ends this hint."

_SEEN: Final = "hints-seen"


def is_first_time() -> bool:
    """Whether the hint was never followed on this account."""
    return not _file().exists()


def remember() -> None:
    """The hint was followed: it is not shown again. A home that cannot be written is no reason to fail."""
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        _file().touch()


def _file() -> Path:
    return state_folder() / _SEEN

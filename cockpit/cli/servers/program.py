"""The command that starts this program again in a child process."""

from __future__ import annotations

import sys
from pathlib import Path

import cockpit


def program_command() -> tuple[str, ...]:
    """Return the words that start `main.py` with this interpreter, from a checkout and from an installed package."""
    return sys.executable, str(Path(cockpit.__file__).resolve().parents[1] / "main.py")

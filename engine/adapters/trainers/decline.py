"""Say that a training is not attached."""

from __future__ import annotations

import sys


def say_why_not(reason: str) -> None:
    """Write on the error stream why the cockpit stays away from a training, which goes on."""
    sys.stderr.write(f"cockpit: not attached, the training goes on without it: {reason}\n")

"""The cockpit: a screen, a console and commands for trainings, and `Cockpit` for a training of one's own.

Importing it imports neither torch nor Textual.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.adapters.loop import Cockpit as Cockpit

__all__ = ["Cockpit"]


def __getattr__(name: str) -> Any:
    """Import `Cockpit`, which needs torch, when it is asked for."""
    if name == "Cockpit":
        return import_module("engine.adapters.loop").Cockpit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

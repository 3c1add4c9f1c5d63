"""The cockpit: a screen, a console and commands for trainings, and `Cockpit` for a training of one's own.

Importing it imports neither torch nor Textual.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.adapters.loop import Cockpit as Cockpit

__all__ = ["Cockpit"]


def check_engine() -> None:
    """Raise ImportError, in one sentence, if the program's own module `engine` hides the cockpit's."""
    ours = Path(__file__).resolve().parents[1] / "engine" / "__init__.py"
    loaded = sys.modules.get("engine")
    found = find_spec("engine") if loaded is None else None
    where = found.origin if found is not None else getattr(loaded, "__file__", None)
    if where is None or Path(where).resolve() != ours:
        raise ImportError(
            f"the module 'engine' is {where or 'missing'} in this program, not the cockpit's: rename it, or leave "
            "the cockpit out of the program and start it with training-cockpit run",
            name="engine",
        )


def __getattr__(name: str) -> Any:
    """Import `Cockpit`, which needs torch, when it is asked for."""
    if name == "Cockpit":
        check_engine()
        return import_module("engine.adapters.loop").Cockpit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

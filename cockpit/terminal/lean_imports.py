"""Import packages without those parts of them that a screen never uses.

Textual, asyncio and numpy import them with the rest: encryption, widgets of other programs, the desktop's folders, and
the texts of `help()`. They take about 30 ms of processor time, 9 ms of them without encryption and numpy.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final


def _downloads() -> Path:
    """Return the folder of `platformdirs.user_downloads_path`, which is imported now."""
    return importlib.import_module("platformdirs").user_downloads_path()


_STAND_INS: Final[dict[str, dict[str, Any]]] = {
    "platformdirs": {"user_downloads_path": _downloads},
    "textual.types": {"IgnoreReturnCallbackType": Any, "CallbackType": Any},  # for annotations
    "numpy._core._add_newdocs": {},
    "numpy._core._add_newdocs_scalars": {},
}
"""Modules that are replaced, each with the names that are imported from it."""

_ABSENT: Final = ("ssl",)
"""Modules that asyncio can do without, as on a system that has none."""


def _stand_in(name: str, members: dict[str, Any]) -> ModuleType:
    """Return a module with `members`; any other name, which later versions may want, comes from the real one."""
    module = ModuleType(name)

    def from_real(attribute: str) -> Any:
        if attribute.startswith("__"):  # asked for by the import system
            raise AttributeError(attribute)
        sys.modules.pop(name, None)
        return getattr(importlib.import_module(name), attribute)

    vars(module).update(members, __getattr__=from_real)
    return module


@contextmanager
def lean_imports(*, keeps_encryption: bool = False) -> Generator[None]:
    """Import with stand-ins for unused modules. Later imports get the real ones.

    Unless `keeps_encryption`, asyncio has no encrypted connections in the process after this; everything else works.
    """
    absent = () if keeps_encryption else _ABSENT
    added: dict[str, ModuleType | None] = {name: None for name in absent if name not in sys.modules}
    added |= {name: _stand_in(name, members) for name, members in _STAND_INS.items() if name not in sys.modules}
    modules: dict[str, Any] = sys.modules
    modules |= added
    try:
        yield
    finally:
        for name in [name for name, module in added.items() if modules.get(name, module) is module]:
            modules.pop(name, None)

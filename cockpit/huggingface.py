"""The cockpit in a Hugging Face trainer: `from cockpit.huggingface import CockpitCallback`.

Importing this module imports neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cockpit import check_engine

if TYPE_CHECKING:
    from engine.adapters.trainers.huggingface import HuggingFaceCallback as CockpitCallback

__all__ = ["CockpitCallback"]

_NEEDED = ("transformers", "accelerate")


def __getattr__(name: str) -> Any:
    """Import `CockpitCallback`, which needs transformers, when it is asked for."""
    if name != "CockpitCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_engine()
    try:
        return import_module("engine.adapters.trainers.huggingface").HuggingFaceCallback
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        sentence = f"{error.name} is missing: install it with pip install 'training-cockpit[huggingface]'"
        raise ImportError(sentence, name=error.name) from None

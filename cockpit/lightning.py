"""The cockpit in a Lightning trainer: `from cockpit.lightning import CockpitCallback`.

It serves `import lightning` and `import pytorch_lightning`. Importing this module imports neither of them, nor torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from cockpit import check_engine

if TYPE_CHECKING:
    # Of the package that is not installed nothing is known, so that the class fits the trainers of both.
    from lightning.pytorch import Callback  # pyright: ignore[reportMissingImports]
    from pytorch_lightning import Callback as FormerCallback

    from engine.adapters.trainers.lightning import LightningCallback

    class CockpitCallback(LightningCallback, Callback, FormerCallback):  # pyright: ignore
        """The callback for both packages."""


__all__ = ["CockpitCallback"]

_PACKAGES: Final = ("lightning", "pytorch_lightning")


def __getattr__(name: str) -> Any:
    """Import `CockpitCallback`, which needs torch, when it is asked for."""
    if name != "CockpitCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_engine()
    if not any(find_spec(package) for package in _PACKAGES):
        raise ImportError("lightning is missing: install it with pip install 'training-cockpit[lightning]'")
    return import_module("engine.adapters.trainers.lightning").LightningCallback

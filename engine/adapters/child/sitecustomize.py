"""Attach the cockpit in a program that `training-cockpit run` starts. Python imports this module before the program."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

HERE = os.path.dirname(os.path.abspath(__file__))
LINK = "TRAINING_COCKPIT_LINK"
PACKAGE = "training_cockpit_engine"


class AfterTorch(MetaPathFinder):
    """Waits for the import of torch, and attaches the cockpit after it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return torch's own spec, with a loader that attaches the cockpit after loading."""
        if fullname != "torch" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        loader = spec.loader if spec is not None else None
        if loader is not None:
            load = loader.exec_module

            def load_and_attach(module: ModuleType) -> None:
                load(module)
                attach()

            loader.exec_module = load_and_attach
        return spec


def attach() -> None:
    """Load the engine's adapters under a name that no program uses, and attach them. A failure is only reported."""
    try:
        root = os.path.dirname(os.path.dirname(HERE))
        file = os.path.join(root, "__init__.py")
        spec = importlib.util.spec_from_file_location(PACKAGE, file, submodule_search_locations=[root])
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} cannot be loaded")
        package = importlib.util.module_from_spec(spec)
        sys.modules[PACKAGE] = package
        spec.loader.exec_module(package)
        importlib.import_module(f"{PACKAGE}.adapters.child.attach").attach(os.environ[LINK])
    except Exception as error:  # the user's program must run as without the cockpit
        sys.stderr.write(f"cockpit: not attached: {error!r}\n")


def import_the_next() -> None:
    """Import the program's own `sitecustomize`, which this one hides."""
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != HERE]
    own = sys.modules.pop("sitecustomize", None)
    try:
        importlib.import_module("sitecustomize")
    except ImportError:
        if own is not None:
            sys.modules["sitecustomize"] = own


if os.environ.get(LINK):
    import_the_next()
    sys.meta_path.insert(0, AfterTorch())

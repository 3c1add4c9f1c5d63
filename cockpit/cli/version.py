"""The installed version, and the option that prints it."""

from __future__ import annotations

import argparse
from typing import Any


class VersionAction(argparse.Action):
    """Prints the version, which is looked up only on request."""

    def __init__(self, **settings: Any):  # argparse passes its keywords on
        super().__init__(nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        print(f"training-cockpit {version()}")
        parser.exit()


def version() -> str:
    """Return the installed version, or a text that says that the package is not installed."""
    # importlib.metadata imports an e-mail parser, which would delay the first frame.
    from importlib import metadata  # noqa: PLC0415

    try:
        return metadata.version("training-cockpit")
    except metadata.PackageNotFoundError:
        return "(not installed, from a checkout)"

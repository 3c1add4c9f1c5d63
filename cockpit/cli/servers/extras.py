"""Check that the packages of an extra are installed, before anything is started."""

from __future__ import annotations

from importlib.util import find_spec

from engine.errors import UserError


def check_extra(package: str, extra: str, purpose: str) -> None:
    """Raise UserError with the command that installs `extra` if its `package` is missing; `purpose` begins the text."""
    if find_spec(package) is None:
        raise UserError(f"{purpose} needs the package {package}: pip install 'training-cockpit[{extra}]'")

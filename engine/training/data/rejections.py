"""What could not be used or is doubted, and why: torch-free, so that a dataset can be inspected without it."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import UserError


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something in `file` that could not be used, and why; another sample took its place."""

    file: str
    error: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """Data in `file` that are used although they may not mean what they say; `message` names an example."""

    file: str
    message: str


class UnusableSample(Exception):
    """A file or a person in it cannot be used; the message says why in one sentence without a full stop."""


class UnreachableSample(UnusableSample):
    """A file is missing or the system cannot read it: this says nothing about what is in it."""


class DataGoneError(UserError):
    """The data set as a whole cannot be reached, as when its disk was unmounted; it may come back."""

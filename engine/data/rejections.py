"""What could not be used or is doubted, and why: torch-free, so that a dataset can be inspected without it."""

from __future__ import annotations

from dataclasses import dataclass


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

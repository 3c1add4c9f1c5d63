"""Resolve the path of a task's file. It is separate from loading, so that the command line needs no pydantic."""

from __future__ import annotations

from pathlib import Path


def absolute_task(where: str, folder: Path | None = None) -> str:
    """Return `where` with an absolute file path, so that a run can be resumed from another folder.

    The path is relative to `folder`, or to the working directory if it is `None`.
    """
    place, _, name = where.rpartition(":")
    path = (folder or Path()) / Path(place).expanduser()
    return f"{path.resolve()}:{name}" if place.endswith(".py") else where

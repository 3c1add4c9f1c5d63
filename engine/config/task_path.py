"""Where the file of a task lies. Apart from the loading of it, so that the command line needs no pydantic."""

from __future__ import annotations

from pathlib import Path


def absolute_task(where: str, folder: Path | None = None) -> str:
    """Return `where` with the path of its file made absolute, so that a run can be resumed from another folder.

    The path is relative to `folder`, or to the working directory without one.
    """
    place, _, name = where.rpartition(":")
    path = (folder or Path()) / Path(place).expanduser()
    return f"{path.resolve()}:{name}" if place.endswith(".py") else where

"""Delete old checkpoints, and move those aside that a rollback has discarded."""

from __future__ import annotations

import logging
from pathlib import Path

from engine.training.checkpoint.checksum import known_checksums, move_checked, remove_checked
from engine.training.checkpoint.file import (
    BEST,
    LAST_GOOD,
    checkpoint_name,
    keep_marker,
    list_checkpoints,
    make_directory,
    refuse_link,
)

SUPERSEDED = "superseded"
"""The subfolder for checkpoints that a rollback has discarded."""


def prune(directory: Path, keep_last: int) -> None:
    """Delete old step checkpoints.

    Kept are the newest `keep_last`, those named by best.pt and last-good.pt, and those requested by a user or taken
    before a promotion. If the disk does not answer, all are kept.
    """
    refuse_link(directory)
    try:
        paths = list_checkpoints(directory)
    except OSError as error:
        logging.getLogger(__name__).warning("old checkpoints are kept for now: %s", error)
        return
    kept = _identities(directory / BEST) | _identities(directory / LAST_GOOD)
    for path in paths[:-keep_last]:
        if not _identities(path) & kept and not keep_marker(path).exists():
            remove_checked(path)


def set_aside(directory: Path, *, after_step: int) -> None:
    """Move checkpoints after `after_step` to `superseded/`, so that a resume after a rollback does not use them."""
    target = directory / SUPERSEDED
    for path in [path for path in list_checkpoints(directory) if path.name > checkpoint_name(after_step)]:
        make_directory(target)
        move_checked(path, target)
        if (marker := keep_marker(path)).exists():
            marker.replace(target / marker.name)


def _identities(path: Path) -> set[str]:
    """Return the checksums of a checkpoint, which identify it; an empty string if it has none."""
    return set(known_checksums(path)) or {""}

"""Checkpoint files: written to a temporary file, synced and renamed, with a checksum."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from engine.protocol.record import record
from engine.training.checkpoint.archive import are_weights, check_archive, check_tensors, reason_of
from engine.training.checkpoint.checksum import (
    checksum_path,
    has_checksum,
    known_checksums,
    link_or_copy,
    replace_checked,
    sha256_of,
)
from engine.training.checkpoint.values import check_values

FORMAT = 1
KEPT_KINDS = ("asked", "promotion")
"""Kinds of checkpoints that are never pruned, because users may return to them."""
BEST, LAST_GOOD = "best.pt", "last-good.pt"
_own_digests: deque[str] = deque(maxlen=1000)
"""Checksums of the newest checkpoints that this process wrote or has read: their shapes need no look of their own."""


@record
class Snapshot:
    """A checkpoint's content, copied from the live tensors, and its name. `kind` is that of CheckpointSaved."""

    step: int
    kind: str
    payload: Mapping[str, Any]
    loss: float
    score: float | None
    good: bool
    best: bool


class CheckpointDamagedError(ValueError):
    """Raised for a checkpoint file that is truncated, altered or foreign. The message names it and the damage."""


def checkpoint_name(step: int) -> str:
    """Return the file name of the checkpoint after `step` steps."""
    return f"step-{step:08d}.pt"


def list_checkpoints(directory: Path) -> list[Path]:
    """Return the step checkpoints in `directory`, oldest first; none if it does not exist or may not be read.

    Raises OSError if the disk does not answer, so that nothing is taken for deleted.
    """
    try:
        with os.scandir(directory) as entries:
            return sorted(directory / entry.name for entry in entries if is_step_checkpoint(entry.name))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def is_step_checkpoint(name: str) -> bool:
    """Return whether a file of this name is listed as the checkpoint of a step."""
    return name.startswith("step-") and name.endswith(".pt")


def save_checkpoint(directory: Path, snapshot: Snapshot) -> Path:
    """Write `snapshot` such that after any crash the file is complete, or as it was before.

    Raises OSError if writing fails, and TypeError for a value that could not be read again.
    """
    make_directory(directory)
    return write_snapshot(directory, snapshot)


def write_snapshot(directory: Path, snapshot: Snapshot) -> Path:
    """Write `snapshot` like `save_checkpoint` into a directory that exists."""
    check_values(snapshot.payload)
    path = directory / checkpoint_name(snapshot.step)
    partial = path.with_suffix(".partial")
    try:
        partial.unlink(missing_ok=True)
        _write(partial, {"format": FORMAT, **snapshot.payload})
        digest = sha256_of(partial)
        replace_checked(partial, path, digest)
        _own_digests.append(digest)
    except RuntimeError as error:  # torch reports a full disk from its own zip writer as RuntimeError
        raise OSError(f"cannot write {path.name}: {str(error).splitlines()[0]}") from error
    finally:
        partial.unlink(missing_ok=True)
    if snapshot.kind in KEPT_KINDS:
        keep_marker(path).touch()
    aliases = {BEST: snapshot.best, LAST_GOOD: snapshot.good}
    for alias in [alias for alias, wanted in aliases.items() if wanted]:
        _link(path, directory / alias, digest)
    _sync_directory(directory)
    return path


def _write(partial: Path, payload: Mapping[str, Any]) -> None:
    with partial.open("xb") as file:  # an existing link is an error: it could lead out of the directory
        torch.save(payload, file)
        file.flush()
        os.fsync(file.fileno())


def make_directory(directory: Path) -> bool:
    """Create `directory` unless it exists, and return whether it was created.

    Raises OSError if it is a link: the target may not belong to this run.
    """
    try:
        directory.mkdir(parents=True)
        is_new = True
    except FileExistsError:
        if not directory.is_dir():
            raise
        is_new = False
    refuse_link(directory)
    return is_new


def refuse_link(directory: Path) -> None:
    """Raise OSError if `directory` is a link."""
    if directory.is_symlink():
        raise OSError(f"{directory} is a link: nothing is written or deleted through it")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint with tensors on the CPU. It is read with `weights_only`: nothing is executed.

    Raises CheckpointDamagedError for a file that does not match its checksum, cannot be read or is foreign.
    """
    try:
        if not has_checksum(path) or not path.is_file():
            raise CheckpointDamagedError(
                f"{path.name} has no checksum file ({checksum_path(path).name}), or is no file"
            )
        expected, actual = known_checksums(path), sha256_of(path)
    except OSError as error:
        raise CheckpointDamagedError(f"{path.name} cannot be verified: {error}") from error
    if actual not in expected:
        raise CheckpointDamagedError(f"{path.name} does not match its checksum")
    payload = _read(path, has_known_shapes=actual in _own_digests)
    _own_digests.append(actual)
    return payload


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint like `load_checkpoint`, without requiring its checksum file.

    Shapes are read before numbers: tensors that claim more bytes than the file are never allocated. Raises
    CheckpointDamagedError.
    """
    return _read(path, has_known_shapes=False)


def _read(path: Path, *, has_known_shapes: bool) -> dict[str, Any]:
    try:
        check_archive(path)
        size = path.stat().st_size
        if not has_known_shapes:
            check_tensors(torch.load(path, map_location="meta", weights_only=True), "meta", size)
        payload = torch.load(path, map_location="cpu", weights_only=True)
        check_tensors(payload, "cpu", size)
    except Exception as error:  # the exception of torch.load depends on the damaged byte
        raise CheckpointDamagedError(f"{path.name} cannot be read as a checkpoint: {reason_of(error)}") from error
    if not isinstance(payload, dict) or not _is_format(payload.get("format")) or "model" not in payload:
        raise CheckpointDamagedError(f"{path.name} is not a checkpoint of this program (format {FORMAT})")
    if not are_weights(payload["model"]):
        raise CheckpointDamagedError(
            f"{path.name} is not a checkpoint of this program: its model holds no named weights"
        )
    return payload


def _is_format(value: object) -> bool:
    return type(value) is int and value == FORMAT


def keep_marker(path: Path) -> Path:
    """Return the path of the empty file that protects a checkpoint from pruning."""
    return path.with_name(path.name + ".keep")


def _link(path: Path, alias: Path, digest: str) -> None:
    """Make `alias` name the same checkpoint, which has the checksum `digest`."""
    partial = alias.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    link_or_copy(path, partial)
    replace_checked(partial, alias, digest)


def _sync_directory(directory: Path) -> None:
    """Sync `directory`, so that renames survive a power failure."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

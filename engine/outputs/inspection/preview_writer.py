"""Write validation pictures in a separate thread, which never delays or ends the training."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Lock, Thread
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.outputs.inference.whole_file import write_whole
from engine.outputs.inspection.strip_file import Thumbnail, strip_path, strip_steps, write_strip
from engine.outputs.preview_file import Preview, plane_key, preview_path, preview_steps

KEPT_VALIDATIONS: Final = 20
"""Number of newest validations whose pictures are kept on disk."""
_MAX_WAITING: Final = 4
_SECONDS_TO_CLOSE: Final = 10.0


class PreviewWriter:
    """Writes the pictures of each validation of the run in `run_dir`. Disk errors are only logged.

    A few validations may wait for a slow disk; of more, the oldest are dropped.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._waiting: deque[tuple[int, tuple[Preview, ...], tuple[Thumbnail, ...]]] = deque(maxlen=_MAX_WAITING)
        self._writing = Lock()
        self._newest: Thread | None = None

    @property
    def run_dir(self) -> Path:
        """Return the directory of the run."""
        return self._run_dir

    def submit(self, step: int, previews: tuple[Preview, ...], thumbnails: tuple[Thumbnail, ...] = ()) -> None:
        """Queue the pictures of the validation after `step` steps."""
        self._waiting.append((step, previews, thumbnails))
        self._newest = Thread(target=self._work, name="previews", daemon=True)
        self._newest.start()

    def forget_after(self, step: int) -> None:
        """Delete the pictures of validations after `step`, after a rollback to it."""
        self.close()
        pictures = [preview_path(self._run_dir, later) for later in preview_steps(self._run_dir) if later > step]
        strips = [strip_path(self._run_dir, later) for later in strip_steps(self._run_dir) if later > step]
        for path in (*pictures, *strips):
            with suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Wait for pending writes, at most 10 s if the disk does not respond."""
        if self._newest is not None:
            self._newest.join(_SECONDS_TO_CLOSE)

    def _work(self) -> None:
        """Write the queued pictures, one thread at a time: when the newest thread ends, all are written."""
        with self._writing:
            while self._waiting:
                self._write(*self._waiting.popleft())

    def _write(self, step: int, previews: tuple[Preview, ...], thumbnails: tuple[Thumbnail, ...]) -> None:
        try:
            write_previews(self._run_dir, step, previews)
            write_strip(self._run_dir, step, thumbnails)
        except (OSError, ValueError) as error:  # a task's pictures may differ in size
            logging.getLogger(__name__).warning("the pictures of step %d are lost: %s", step, error)


def write_previews(run_dir: Path, step: int, previews: tuple[Preview, ...]) -> None:
    """Write the file of a validation and delete the oldest files. Raises OSError."""
    path = preview_path(run_dir, step)
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **_stacks(previews))
    write_whole(path, packed.getvalue())
    for old in preview_steps(run_dir)[:-KEPT_VALIDATIONS]:
        preview_path(run_dir, old).unlink(missing_ok=True)


def _stacks(previews: tuple[Preview, ...]) -> dict[str, NDArray[np.generic]]:
    """Return one array per plane with samples along the first axis, without planes that a sample lacks."""
    found = [{plane_key(plane): plane.values for plane in preview.planes} for preview in previews]
    shared = [key for key in (found[0] if found else {}) if all(key in planes for planes in found)]
    return {
        "sample_id": np.array([preview.sample_id for preview in previews], dtype=np.str_),
        "error": np.array([preview.error for preview in previews], dtype=np.float32),
        "rank": np.array([preview.rank for preview in previews], dtype=np.int64),
        "place": np.array([preview.place for preview in previews], dtype=np.int64),
        **{key: np.stack([planes[key] for planes in found]) for key in shared},
    }

"""Writing validation pictures beside the run, by a thread of its own: they never hold up the training nor end it."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.outputs.preview_file import Preview, plane_key, preview_path, preview_steps

KEPT_VALIDATIONS: Final = 20
"""The newest validations whose pictures stay on the disk."""
_MAX_WAITING: Final = 4
_SECONDS_TO_CLOSE: Final = 10.0


class PreviewWriter:
    """Puts the pictures of each validation of the run in `run_dir` on disk; a disk that refuses is logged and no more.

    A few validations may wait for a slow disk; of more the oldest are left out.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._waiting: deque[tuple[int, tuple[Preview, ...]]] = deque(maxlen=_MAX_WAITING)
        self._writing = Lock()
        self._newest: Thread | None = None

    def submit(self, step: int, previews: tuple[Preview, ...]) -> None:
        """Have the pictures of the validation after `step` steps written."""
        self._waiting.append((step, previews))
        self._newest = Thread(target=self._work, name="previews", daemon=True)
        self._newest.start()

    def forget_after(self, step: int) -> None:
        """Drop the pictures of validations after `step`: the run has gone back there."""
        self.close()
        for later in preview_steps(self._run_dir):
            if later > step:
                with suppress(OSError):
                    preview_path(self._run_dir, later).unlink()

    def close(self) -> None:
        """Wait for what is being written; gives up on a disk that does not answer within 10 s."""
        if self._newest is not None:
            self._newest.join(_SECONDS_TO_CLOSE)

    def _work(self) -> None:
        """Write what waits, one thread at a time: when the newest thread ends, all that was submitted is written."""
        with self._writing:
            while self._waiting:
                step, previews = self._waiting.popleft()
                try:
                    write_previews(self._run_dir, step, previews)
                except (OSError, ValueError) as error:  # a task's pictures may differ in size
                    logging.getLogger(__name__).warning("the pictures of step %d are lost: %s", step, error)


def write_previews(run_dir: Path, step: int, previews: tuple[Preview, ...]) -> None:
    """Write the file beside and rename it, then drop the oldest ones. Raises OSError."""
    path = preview_path(run_dir, step)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **_stacks(previews))
    partial.replace(path)
    for old in preview_steps(run_dir)[:-KEPT_VALIDATIONS]:
        preview_path(run_dir, old).unlink(missing_ok=True)


def _stacks(previews: tuple[Preview, ...]) -> dict[str, NDArray[np.generic]]:
    """One array per plane, samples along the first axis; planes that a sample lacks are left out."""
    found = [{plane_key(plane): plane.values for plane in preview.planes} for preview in previews]
    shared = [key for key in (found[0] if found else {}) if all(key in planes for planes in found)]
    sample_ids = np.array([preview.sample_id for preview in previews], dtype=np.str_)
    return {"sample_id": sample_ids, **{key: np.stack([planes[key] for planes in found]) for key in shared}}

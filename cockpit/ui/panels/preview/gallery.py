"""The selected validation and sample of the preview panel; the newest one is followed until another is selected.

Samples are in the order of their errors, the worst first. A sample that was selected by hand stays selected in other
validations that show it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from cockpit.ui.panels.preview.history import History
from engine.errors import UserError
from engine.outputs.preview_file import MAX_CLASSES, Preview, preview_steps, read_previews

NOT_YET: Final = "no pictures yet: each validation writes some"
NO_PREVIEWS: Final = "no pictures: the task has no previews"


class Gallery:
    """The pictures of the opened run."""

    def __init__(self) -> None:
        self.steps: tuple[int, ...] = ()
        """Steps of the validations with pictures, ascending."""
        self.step = 0
        """Step of the selected validation."""
        self.previews: tuple[Preview, ...] = ()
        self.number = 0
        """Number of the selected sample, from 0."""
        self.notice = NOT_YET
        """Reason for an empty selection; empty string otherwise."""
        self._run_dir: Path | None = None
        self._num_classes = MAX_CLASSES
        self.history = History()
        self._has_previews = True
        self._follows = True
        self._picked = ""

    @property
    def preview(self) -> Preview | None:
        """Return the selected sample, or `None`."""
        return self.previews[self.number] if self.previews else None

    def open(self, run_dir: Path, num_classes: int = MAX_CLASSES, *, has_previews: bool = True) -> bool:
        """Read the pictures of that run, of a task with `num_classes` classes; return whether the selection changed."""
        if (run_dir, num_classes, has_previews) == (self._run_dir, self._num_classes, self._has_previews):
            return self.look()
        self.__init__()
        self._has_previews = has_previews
        self.notice = NOT_YET if has_previews else NO_PREVIEWS
        self._num_classes = num_classes
        self._run_dir = run_dir
        self.history = History(run_dir)
        self.look()
        return True

    def look(self) -> bool:
        """Look for new validations; return whether the selection changed."""
        if self._run_dir is None:
            return False
        steps, before = preview_steps(self._run_dir), self.steps
        if steps == before:
            return False
        self.steps = steps
        if not steps:
            self.previews = ()
            return True
        if self._follows or self.step not in steps:
            self._read(steps[-1])
        return True

    def turn(self, by: int) -> None:
        """Select the sample `by` places further; the first one follows the last."""
        if self.previews:
            self.number = (self.number + by) % len(self.previews)
            self._picked = self.previews[self.number].sample_id

    def turn_to_worst(self) -> None:
        """Select the worst sample, in each validation from now on."""
        self.number, self._picked = 0, ""

    def go(self, by: int) -> None:
        """Select the validation `by` places further, within the range; the newest one is followed."""
        if not self.steps:
            return
        here = self.steps.index(self.step) if self.step in self.steps else len(self.steps) - 1
        place = min(max(here + by, 0), len(self.steps) - 1)
        self._follows = place == len(self.steps) - 1
        self._read(self.steps[place])

    def _read(self, step: int) -> None:
        """Read the pictures of a validation; keep the selected sample, or its number if there are enough."""
        assert self._run_dir is not None
        self.step = step
        try:
            found = read_previews(self._run_dir, step, self._num_classes)
            self.previews = tuple(sorted(found, key=lambda preview: preview.rank or math.inf))
            self.notice = "" if self.previews else f"the validation at step {step} has no pictures"
        except UserError as error:
            self.previews, self.notice = (), str(error)
        same = (at for at, preview in enumerate(self.previews) if preview.sample_id == self._picked)
        self.number = next(same, min(self.number, max(len(self.previews) - 1, 0)))

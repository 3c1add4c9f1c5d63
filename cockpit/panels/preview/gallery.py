"""Which validation and which sample of it is looked at: follows the newest until somebody goes back."""

from __future__ import annotations

from pathlib import Path

from engine.errors import UserError
from engine.outputs.preview_file import MAX_CLASSES, Preview, preview_steps, read_previews


class Gallery:
    """The pictures of the run that was opened."""

    def __init__(self) -> None:
        self.steps: tuple[int, ...] = ()
        """The validations that left pictures, by their steps, ascending."""
        self.step = 0
        """The one that is shown."""
        self.previews: tuple[Preview, ...] = ()
        self.number = 0
        """The sample that is shown, from 0."""
        self.notice = "no pictures yet: a task that has previews leaves them with each validation"
        """Why there is nothing to see."""
        self._run_dir: Path | None = None
        self._num_classes = MAX_CLASSES
        self._follows = True

    @property
    def preview(self) -> Preview | None:
        """The sample to show; None where there is none."""
        return self.previews[self.number] if self.previews else None

    def open(self, run_dir: Path, num_classes: int = MAX_CLASSES) -> bool:
        """Look at the pictures of that run, of a task with so many classes; True where something else is shown now."""
        if (run_dir, num_classes) == (self._run_dir, self._num_classes):
            return self.look()
        self.__init__()
        self._num_classes = num_classes
        self._run_dir = run_dir
        self.look()
        return True

    def look(self) -> bool:
        """See what is there; True where something else is shown now."""
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
        """The sample `by` places further, round and round."""
        if self.previews:
            self.number = (self.number + by) % len(self.previews)

    def go(self, by: int) -> None:
        """The validation `by` places further, as far as there are any; the newest is followed."""
        if not self.steps:
            return
        here = self.steps.index(self.step) if self.step in self.steps else len(self.steps) - 1
        place = min(max(here + by, 0), len(self.steps) - 1)
        self._follows = place == len(self.steps) - 1
        self._read(self.steps[place])

    def _read(self, step: int) -> None:
        """Take up the pictures of a validation; the same sample of it, where it has as many."""
        assert self._run_dir is not None
        self.step = step
        try:
            self.previews = read_previews(self._run_dir, step, self._num_classes)
            self.notice = "" if self.previews else f"the validation at step {step} kept no pictures"
        except UserError as error:
            self.previews, self.notice = (), str(error)
        self.number = min(self.number, max(len(self.previews) - 1, 0))

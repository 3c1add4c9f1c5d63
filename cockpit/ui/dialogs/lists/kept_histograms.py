"""The histograms that a run keeps, and which of those of one layer a dialog shows."""

from __future__ import annotations

from pathlib import Path

from engine.outputs.inspection.histogram_file import kept_histograms
from engine.outputs.inspection.layer_histograms import LayerHistograms


class KeptHistograms:
    """All kept histograms of the run in `run_dir`, oldest first. The newest ones of a layer are shown at first."""

    def __init__(self, run_dir: Path) -> None:
        self.all = kept_histograms(run_dir)
        self._run_dir = run_dir
        self._back = 0

    def read_again(self) -> None:
        """Read the files again, and show the newest ones."""
        self.all = kept_histograms(self._run_dir)
        self._back = 0

    def go_to_newest(self) -> None:
        """Show the newest ones."""
        self._back = 0

    def turn(self, layer: str, by: int) -> None:
        """Show those of a layer that are `by` places older."""
        self._back = min(max(self._back + by, 0), max(len(self._of(layer)) - 1, 0))

    def shown(self, layer: str) -> tuple[LayerHistograms, str] | None:
        """Return what is shown of a layer, and which of how many that is; `None` if none are kept of it."""
        kept = self._of(layer)
        if not kept:
            return None
        self._back = min(self._back, len(kept) - 1)
        place = f"{len(kept) - self._back} of {len(kept)}" if len(kept) > 1 else ""
        return kept[-1 - self._back], place

    def _of(self, layer: str) -> list[LayerHistograms]:
        return [taken for taken in self.all if taken.layer == layer]

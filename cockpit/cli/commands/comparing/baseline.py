"""Find the run that `--baseline` names, before anything begins."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from engine.errors import UserError
from engine.journal.disk.find_run import find_run


def baseline_of(runs_dir: Path, name: str) -> Path | None:
    """Return the directory of the run `name`; `None` for an empty name. Raises UserError if it has no curves."""
    if not name:
        return None
    # The reader imports numpy, which takes longer than the first frame.
    from engine.journal.reader import JournalReader  # noqa: PLC0415

    directory = find_run(runs_dir, name)
    with closing(JournalReader(directory, at_rest=True)) as reader:
        if not reader.metric_names():
            raise UserError(f"--baseline {name}: the run has recorded no metric yet")
    return directory

"""Find the run that an earlier attempt of the same `torchrun` has trained, so that `--max-restarts` resumes it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.journal.disk.find_run import list_runs
from engine.journal.disk.run_dir import has_journal
from engine.runtime.host.launch import Launch

TORCHRUN: Final = "torchrun"
"""The journal's key for the job that started the run."""


def run_of_job(runs_dir: Path, launch: Launch | None) -> Path | None:
    """Return the newest run of this job, in its rank 0 and after its first attempt; `None` if there is none."""
    if launch is None or launch.rank or not launch.restarts or not launch.job:
        return None
    return next((path for path in list_runs(runs_dir) if _job_of(path) == launch.job), None)


def _job_of(path: Path) -> object:
    """Return the job in the journal of a run; `None` if it has none or cannot be read."""
    if not has_journal(path):
        return None
    from engine.journal.reader import JournalReader  # noqa: PLC0415 - numpy is not in the first frame of a new run

    try:
        with closing(JournalReader(path, at_rest=True)) as reader:
            return reader.meta(TORCHRUN)
    except UserError:
        return None

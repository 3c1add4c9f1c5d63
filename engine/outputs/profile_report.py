"""What `main.py profile` measures: the request, and the report with the profiler's table."""

from __future__ import annotations

from pathlib import Path

from engine.protocol.record import record


@record
class ProfileRequest:
    """A profile of `num_steps` steps from a checkpoint of a run; an empty `checkpoint` selects the last good one.

    The trace is written to `output`.
    """

    run_dir: Path
    num_steps: int
    output: Path
    checkpoint: str = ""
    device: str = "auto"


@record
class ProfileReport:
    """The profile: where it began, seconds per step under the profiler, the table, and the file of the trace.

    `table` has the operations sorted by their own time on `device`.
    """

    checkpoint: str
    from_step: int
    num_steps: int
    seconds_per_step: float
    device: str
    table: str
    trace: Path

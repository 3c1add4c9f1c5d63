"""How `torchrun` started this process: its rank, the number of ranks, and how often it was started again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_NAMELESS = ("", "none")
"""Identifiers that `torchrun` gives to a run without a name."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One process of `world`; `local_rank` counts those of one machine, `restarts` the earlier attempts.

    `job` is equal in all attempts of one `torchrun`, and in no other.
    """

    rank: int
    world: int
    local_rank: int = 0
    restarts: int = 0
    job: str = ""


def torchrun_launch(environ: Mapping[str, str] = os.environ) -> Launch | None:
    """Return how `torchrun`, or a launcher with its variables, started this process; `None` if none did."""
    if not all(environ.get(name) for name in _NEEDED):
        return None
    return Launch(
        rank=int(environ["RANK"]),
        world=int(environ["WORLD_SIZE"]),
        local_rank=int(environ.get("LOCAL_RANK", "0")),
        restarts=int(environ.get("TORCHELASTIC_RESTART_COUNT", "0")),
        job=_job(environ.get("TORCHELASTIC_RUN_ID", "")),
    )


def _job(name: str) -> str:
    """Return the name of the job; without one, its agent, which is this process's parent."""
    if name not in _NAMELESS:
        return name
    import psutil  # noqa: PLC0415 - not in the first frame

    try:
        parent = psutil.Process(os.getppid())
        return f"process {parent.pid} of {parent.create_time():.2f}"
    except psutil.Error:
        return ""

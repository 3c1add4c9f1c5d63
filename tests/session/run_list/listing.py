"""Rows of a list of runs without directories, for tests of its order, its filter and its columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cockpit.session.run_list.facts import RunFacts
from cockpit.session.run_list.listed_run import ListedRun
from engine.journal.disk.labels import Labels


def listed(name: str, *, note: str = "", tags: str = "", formerly: str = "", **facts: Any) -> ListedRun:
    """A finished run of these facts; `tags` and `formerly` are words."""
    labels = Labels(note, tuple(tags.split()), tuple(formerly.split()))
    started = facts.pop("started", 0.0)
    run = ListedRun(Path("runs") / name, started, labels)
    return run.with_facts(replace(RunFacts(activity="finished"), **facts))

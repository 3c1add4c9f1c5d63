"""Read how the time of a run's newest steps is divided, and why they are slow."""

from __future__ import annotations

from typing import Any

import yaml

from engine.journal.reader import JournalReader
from engine.outputs.step_time import GPU, NEWEST, PARTS, TIME, Settings, StepTime, step_time, verdict
from engine.outputs.system_load import usable_cores
from engine.protocol.codec import Json


def step_time_of(reader: JournalReader, last_step: int) -> tuple[StepTime, str] | None:
    """Return how the time of the newest steps is divided, and why they are slow; `None` if it was not measured."""
    names = (*(TIME + part for part in PARTS), GPU)
    series = reader.series(names, first=last_step - NEWEST + 1)
    means = {name: float(series.values[name][there].mean()) for name in names if (there := series.present[name]).any()}
    time = step_time(means, int(series.steps.size))
    return None if time is None else (time, verdict(time, _settings(reader.meta("sessions"))))


def _settings(sessions: Json) -> Settings:
    """Return what a verdict may change, from the newest configuration in a journal's `sessions`."""
    newest = sessions[-1] if isinstance(sessions, list) and sessions else None
    text = newest.get("config") if isinstance(newest, dict) else None
    tree: Any = yaml.safe_load(text) if isinstance(text, str) else {}
    try:
        return Settings(
            num_workers=int(tree["data"]["num_workers"]),
            checkpoint_steps=int(tree["checkpoint"]["every_steps"]),
            validation_epochs=int(tree["validation"]["every_epochs"]),
            cores=usable_cores(),
            is_compiled=bool(tree["model"]["compile"]),
        )
    except (KeyError, TypeError, ValueError):
        return Settings(cores=usable_cores())

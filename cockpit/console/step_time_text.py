"""Read how the time of a run's newest steps is divided, and why they are slow."""

from __future__ import annotations

from collections.abc import Iterator

from engine.journal.reader import JournalReader
from engine.outputs.step_time import GPU, NEWEST, OTHERS, PARTS, TIME, Settings, StepTime, step_time, verdict
from engine.outputs.system_load import usable_cores
from engine.protocol.codec import Json


def step_time_of(reader: JournalReader, last_step: int) -> tuple[StepTime, str] | None:
    """Return how the time of the newest steps is divided, and why they are slow; `None` if it was not measured."""
    names = (*(TIME + part for part in PARTS), GPU, OTHERS)
    series = reader.series(names, first=last_step - NEWEST + 1)
    means = {name: float(series.values[name][there].mean()) for name in names if (there := series.present[name]).any()}
    time = step_time(means, int(series.steps.size))
    return None if time is None else (time, verdict(time, _settings(reader.meta("sessions"))))


def _settings(sessions: Json) -> Settings:
    """Return what a verdict may change, from the newest configuration in a journal's `sessions`."""
    newest = sessions[-1] if isinstance(sessions, list) and sessions else None
    text = newest.get("config") if isinstance(newest, dict) else None
    threads = newest.get("threads") if isinstance(newest, dict) and newest.get("device") == "cpu" else None
    found = dict(_scalars(text)) if isinstance(text, str) else {}

    def number(key: str, otherwise: int) -> int:
        text = found.get(key, "")
        return int(text) if text.isdecimal() else otherwise

    return Settings(
        num_workers=number("data.num_workers", 0),
        checkpoint_steps=number("checkpoint.every_steps", 0),
        checkpoint_epochs=number("checkpoint.every_epochs", 0),
        validation_epochs=number("validation.every_epochs", 1),
        cores=usable_cores(),
        threads=threads if isinstance(threads, int) else 0,
        is_compiled=found.get("model.compile") == "true",
    )


def _scalars(text: str) -> Iterator[tuple[str, str]]:
    """Yield each `section.key` with its text. A YAML reader would take 30 ms for a configuration."""
    section = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if not line.startswith(" "):
            section = key
        elif value.strip() and not key.startswith("   "):
            yield f"{section}.{key.strip()}", value.partition("#")[0].strip()

"""Collect the config keys that steering changed since the run began, with their first and their present value."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from cockpit.text.event_info import COMPONENTS
from cockpit.text.event_text import info_of
from cockpit.text.format import rate
from engine.journal.reader import Entry
from engine.protocol.record import record


@record
class Change:
    """A key's first and present value, and the step and actor of its newest change."""

    key: str
    was: str
    now: str
    step: int
    actor: str


class Changes:
    """Collects changes from events; a key that is back at its first value is unchanged."""

    def __init__(self) -> None:
        self._by_setting: dict[tuple[str, str], Change] = {}

    def add(self, entry: Entry) -> None:
        """Add the changes that one event of the journal made."""
        made = info_of(entry.event).changes
        for change in made(entry.event) if made is not None else ():
            setting = (change.section, change.name)
            first = self._by_setting[setting].was if setting in self._by_setting else change.was
            key = ".".join(part for part in setting if part)
            self._by_setting[setting] = Change(key, first, change.now, entry.step, entry.actor)

    def all(self, switches: str = COMPONENTS) -> list[Change]:
        """Return the changes, the newest first; `switches` is the section of the config that switches components."""
        changed = [
            replace(change, key=f"{switches}.{name}") if section == COMPONENTS else change
            for (section, name), change in self._by_setting.items()
            if change.was != change.now
        ]
        return sorted(changed, key=lambda change: -change.step)


def since_configured(change: Change, values: Mapping[str, object]) -> Change:
    """Return a change of the learning rate from the configured one in `values`: its event tells the scheduled one."""
    configured = values.get(change.key)
    if change.key != "training.learning_rate" or not isinstance(configured, int | float):
        return change
    return replace(change, was=rate(configured))


def switches_section(keys: Iterable[str], components: Collection[str]) -> str:
    """Return the section of the config keys `keys` that switches `components`; 'components' if none does."""
    parted = (key.rpartition(".") for key in keys)
    return next((section for section, _, name in parted if section and name in components), COMPONENTS)

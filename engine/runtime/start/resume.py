"""What a resumed run takes over from the journal and from options that changed meanwhile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from engine.config.tree import RunConfig
from engine.config.unusual import shown
from engine.journal.reader import Entry, JournalReader
from engine.protocol import events as e
from engine.protocol.engine_events import Departure
from engine.protocol.state import RunState
from engine.runtime.reproduce.recorded_action import RecordedAction
from engine.runtime.start.bootstrap import INIT_FROM, RunRequest

_AGAIN = "done again after the resume"


def redo_list(journal: Path, *, from_step: int) -> list[RecordedAction]:
    """Steering that was acknowledged at `from_step` or later: a crash must not lose it, so it is done again.

    A rollback keeps what was steered: from there on it counts as done at the step that the run went back to.
    """
    lasting: list[RecordedAction] = []
    for entry in _entries(journal):
        if isinstance(entry.event, e.RolledBack):
            lasting = [replace(done, step=min(done.step, entry.event.after)) for done in lasting]
        elif isinstance(entry.event, e.LASTING_EVENTS):
            lasting.append(RecordedAction(entry.step, entry.actor, entry.event, _AGAIN))
    return sorted((done for done in lasting if done.step >= from_step), key=lambda done: done.step)


def still_unusual(journal: Path, config: RunConfig) -> tuple[Departure, ...]:
    """What lay far from the named config when the run began or was last resumed, and is configured as it was then."""
    began = [entry.event for entry in _entries(journal) if isinstance(entry.event, e.RunStarted)]
    tree = config.model_dump(mode="json")
    return tuple(x for x in began[-1].unusual if shown(_value(tree, x.key)) == x.value) if began else ()


def _value(tree: Any, key: str) -> object:
    for part in key.split("."):
        tree = tree[part]
    return tree


def never_saved(journal: Path) -> bool:
    """Whether the run was cut off before its first checkpoint was on disk: then nothing is lost by beginning anew."""
    with closing(JournalReader(journal, at_rest=True)) as reader:
        return not reader.events(kinds=("checkpoint_saved",))


def first_weights(request: RunRequest) -> str:
    """The checkpoint whose weights a run began with that begins anew, '' for none."""
    if not request.resume:
        return ""
    with closing(JournalReader(request.directory, at_rest=True)) as reader:
        return str(reader.meta(INIT_FROM) or "")


def last_reached(journal: Path) -> int:
    """The first step at whose boundary scripted commands have not been given yet, as far as the journal tells."""
    entries = _entries(journal)
    return max((entry.step + 1 for entry in entries if entry.actor == "script"), default=0)


def _entries(journal: Path) -> list[Entry]:
    with closing(JournalReader(journal)) as reader:
        return reader.events()


def revise_state(state: RunState, *, was: str, now: RunConfig) -> RunState:
    """`state` with whatever the configuration says differently `now` than it `was` (resolved YAML)."""
    old, new = yaml.safe_load(was), now.model_dump(mode="json")
    training = _changed(old["training"], new["training"])
    fields: dict[str, Any] = {
        name: training[name]
        for name in ("gradient_clip", "accumulation", "batch_size", "optimizer")
        if name in training
    }
    if "learning_rate" in training:
        fields |= {"lr_scale": 1.0, "lr_pin": None}
    weights = _changed(old["loss"]["weights"], new["loss"]["weights"])
    if weights:
        fields["loss_weights"] = MappingProxyType({**state.loss_weights, **weights})
    recovery = _changed(old["guard"].get("recovery", {}), new["guard"]["recovery"])
    if "enabled" in recovery:
        fields["guardian"] = recovery["enabled"]
    autopilot = _changed(old.get("autopilot", {}), new["autopilot"])
    if "enabled" in autopilot:
        fields["autopilot"] = autopilot["enabled"]
    switches = _changed(now.switches(old), now.switches(new))
    if switches:
        on = state.refinements | {name for name, value in switches.items() if value}
        fields["refinements"] = on - {name for name, value in switches.items() if not value}
        fields["phase"] = state.spec.phase_of(fields["refinements"])
    return replace(state, **fields)


def changed_settings(was: str, now: RunConfig) -> tuple[e.ConfigChanged, ...]:
    """Return each key whose value is another `now` than it `was` (resolved YAML, of an older program perhaps)."""
    default, new = _flat(type(now)().model_dump(mode="json")), _flat(now.model_dump(mode="json"))
    old = {**default, **now.FORMER, **_flat(yaml.safe_load(was))}
    return tuple(
        e.ConfigChanged(key, _shown(old.get(key)), _shown(value)) for key, value in new.items() if old.get(key) != value
    )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested sections by their dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in new.items() if old.get(name) != value}

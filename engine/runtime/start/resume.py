"""Read what a resumed run goes on from: checkpoint, journal, and options that changed meanwhile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from engine.config.tree import RunConfig
from engine.config.unusual import shown
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.journal.reader import Entry, JournalReader
from engine.protocol import events as e
from engine.protocol.engine_events import Departure
from engine.protocol.events import Activity
from engine.protocol.state import Decisions, RunState, with_decided, with_measured
from engine.protocol.wire import state_from_text
from engine.runtime.reproduce.recorded_action import RecordedAction
from engine.runtime.start.bootstrap import INIT_FROM, RunRequest, limits_of
from engine.training.checkpoint.content import newest_resumable
from engine.training.checkpoint.file import checkpoint_name, list_checkpoints

_AGAIN = "done again after the resume"


@dataclass(frozen=True, slots=True)
class Start:
    """The checkpoint that a resumed run goes on from, and the damaged ones that were passed over."""

    payload: dict[str, Any]
    damaged: tuple[e.CheckpointDamaged, ...]


def find_start(request: RunRequest) -> Start | None:
    """Find the checkpoint to go on from; None for a new run, and for one that died before its first checkpoint.

    Nothing of the run is changed. Raises UserError where nothing is left to do.
    """
    directory = request.directory / CHECKPOINTS
    if not request.resume or (not list_checkpoints(directory) and never_saved(request.directory)):
        return None
    damaged: list[e.CheckpointDamaged] = []
    payload = newest_resumable(
        directory, request.config, lambda name, error: damaged.append(e.CheckpointDamaged(name, error))
    )
    training, (epoch, _) = request.config.training, payload["position"]
    out_of_steps = 0 < training.max_steps <= payload["step"]
    if (epoch >= training.epochs or out_of_steps) and not payload["validation_due"]:
        done = f"{payload['step']} steps" if out_of_steps else f"{epoch} epochs"
        longer = "--max-steps" if out_of_steps else "--epochs"
        raise UserError(f"the run {request.directory.name!r} has done its {done}: go on with a larger {longer}")
    return Start(payload, tuple(damaged))


def resumed_state(payload: Mapping[str, Any], config: RunConfig, fresh: RunState) -> RunState:
    """Return the state to go on with: the checkpoint's, under the configuration asked for now.

    Run and spec are those of `fresh`, the state that a new run would have.
    """
    then = replace(state_from_text(payload["state"], fresh.spec), run=fresh.run)
    return with_decided(
        with_measured(revise_state(then, was=payload["config"], now=config), steps_until_pause=None),
        activity=Activity.STARTING,
        last_checkpoint=checkpoint_name(int(payload["step"])),
        limits=limits_of(config),
    )


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
    changes: Decisions = {}
    if "gradient_clip" in training:
        changes["gradient_clip"] = training["gradient_clip"]
    if "accumulation" in training:
        changes["accumulation"] = training["accumulation"]
    if "batch_size" in training:
        changes["batch_size"] = training["batch_size"]
    if "optimizer" in training:
        changes["optimizer"] = training["optimizer"]
    if "learning_rate" in training:
        changes["lr_scale"], changes["lr_pin"] = 1.0, None
    weights = _changed(old["loss"]["weights"], new["loss"]["weights"])
    if weights:
        changes["loss_weights"] = MappingProxyType({**state.loss_weights, **weights})
    recovery = _changed(old["guard"].get("recovery", {}), new["guard"]["recovery"])
    if "enabled" in recovery:
        changes["guardian"] = recovery["enabled"]
    autopilot = _changed(old.get("autopilot", {}), new["autopilot"])
    if "enabled" in autopilot:
        changes["autopilot"] = autopilot["enabled"]
    switches = _changed(now.switches(old), now.switches(new))
    if switches:
        on = state.refinements | {name for name, value in switches.items() if value}
        changes["refinements"] = on - {name for name, value in switches.items() if not value}
        changes["phase"] = state.spec.phase_of(changes["refinements"])
    return with_decided(state, **changes)


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

"""What a changed configuration changes in a resumed run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine.config.files.yaml_source import written_tree
from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.protocol import events as e
from engine.protocol.state import Decisions, RunState, with_decided
from engine.protocol.task_spec import TaskSpec
from engine.task import load_task


def revise_state(state: RunState, *, was: str, now: RunConfig) -> RunState:
    """Return `state` with the settings that differ between the configurations `was` (resolved YAML) and `now`.

    Raises UserError if that leaves components on that exclude each other.
    """
    old, new = written_tree(was), now.model_dump(mode="json")
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
        _check_rivals(state.spec, changes["refinements"])
        changes["phase"] = state.spec.phase_of(changes["refinements"])
    return with_decided(state, **changes)


def _check_rivals(spec: TaskSpec, on: frozenset[str]) -> None:
    """Raise UserError if the configuration switches a component on that excludes one which a command has enabled."""
    for name in sorted(on):
        if rivals := spec.rivals(name, on):
            raise UserError(
                f"{name} and {min(rivals)} exclude each other, and the configuration and a command have switched them "
                "on: resume without this setting, and disable one of the two first"
            )


def has_other_score(was: str, now: RunConfig) -> bool:
    """Return whether the configuration `was` (resolved YAML) names another metric as the score than `now` does."""
    own = load_task(now.task).spec.score
    return (written_tree(was).get("validation", {}).get("score") or own) != (now.validation.score or own)


def changed_settings(was: str, now: RunConfig) -> tuple[e.ConfigChanged, ...]:
    """Return each key whose value differs between `was` (resolved YAML, maybe of an older program) and `now`."""
    default, new = _flat(type(now)().model_dump(mode="json")), _flat(now.model_dump(mode="json"))
    old = {**default, **now.FORMER, **_flat(written_tree(was))}
    return tuple(
        e.ConfigChanged(key, _shown(old.get(key)), _shown(value)) for key, value in new.items() if old.get(key) != value
    )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested sections by their dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in new.items() if old.get(name) != value}

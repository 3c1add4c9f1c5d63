"""Write commands, events and states as JSON text, and read them, including those of earlier versions.

Names of kinds exist only here: `op` names a command, `kind` an event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Final, cast, get_args

from engine.protocol import events as e
from engine.protocol.codec import Json, WireError, from_json, from_text, to_json, to_text
from engine.protocol.commands import Command
from engine.protocol.events import Event
from engine.protocol.state import RunState
from engine.protocol.task_spec import NO_SPEC, TaskSpec

OPS: Final[Mapping[str, type[Command]]] = MappingProxyType({kind.op: kind for kind in get_args(Command)})
"""The name of every command in a journal."""


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


EVENT_KINDS: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {_snake(kind.__name__): kind for kind in get_args(Event)}
)
"""The name of every event in a journal: `LrScaled` is 'lr_scaled'."""

_KIND_OF: Final = {kind: word for word, kind in EVENT_KINDS.items()}


_WHY: Final = "why"
"""The key of a sender's reason in a command's text. Programs that do not know it ignore it."""

_STATE: Final = {"val_miou": "score", "best_miou": "best_score"}
_CHECKPOINT: Final = {"miou": "score"}
_NO_METRIC: Final = ("loss", "seconds", "metrics")
"""Fields of an earlier validation event that are not metrics."""


def op_of(command: Command) -> str:
    """Return the name of a command in a journal."""
    return command.op


def kind_of(event: Event) -> str:
    """Return the name of an event in a journal."""
    return _KIND_OF[type(event)]


def command_to_json(command: Command) -> dict[str, Json]:
    """Return `command` as an object with its name in `op`."""
    return {"op": op_of(command), **cast(dict[str, Json], to_json(command))}


def command_from_json(value: Json) -> Command:
    """Return the command that `value` describes.

    Raises WireError for an unknown `op` or a field of another type.
    """
    kind = OPS.get(str(value.get("op"))) if isinstance(value, dict) else None
    if kind is None:
        raise WireError(f"no command is called {value.get('op') if isinstance(value, dict) else value!r}")
    return from_json(kind, value)


def command_to_text(command: Command, reason: str = "") -> str:
    """Return `command` as one line of JSON, with the sender's reason unless that is an empty string."""
    return to_text({**command_to_json(command), **({_WHY: reason} if reason else {})})


def command_from_text(text: str) -> Command:
    """Return the command in a line of JSON. Raises WireError."""
    return command_from_json(from_text(text))


def reason_from_text(text: str) -> str:
    """Return the sender's reason in a line of JSON; an empty string if there is none."""
    try:
        value = from_text(text)
    except WireError:
        return ""
    reason = value.get(_WHY) if isinstance(value, dict) else None
    return reason if isinstance(reason, str) else ""


def event_to_text(event: Event) -> str:
    """Return the fields of `event` as one line of JSON. Its kind is stored separately (`kind_of`)."""
    return to_text(event)


def event_from_text(kind: str, text: str) -> Event:
    """Return the event of that kind with the fields in `text`. Raises WireError."""
    if kind not in EVENT_KINDS:
        raise WireError(f"no event is called {kind!r}")
    return from_json(EVENT_KINDS[kind], present_event(kind, from_text(text)))


def event_to_json(event: Event) -> dict[str, Json]:
    """Return the fields of `event` as an object.

    Its kind is stored separately (`kind_of`), since some events have a field of that name.
    """
    return cast(dict[str, Json], to_json(event))


def state_to_json(state: RunState) -> dict[str, Json]:
    """Return `state` as an object without its spec, which is in the journal's meta."""
    return {field.name: to_json(getattr(state, field.name)) for field in fields(state) if field.name != "spec"}


def state_from_json(value: Json, spec: TaskSpec = NO_SPEC) -> RunState:
    """Return the state of a run of the task `spec` that `value` describes. Raises WireError."""
    return replace(from_json(RunState, present_state(value)), spec=spec)


def spec_to_json(spec: TaskSpec) -> dict[str, Json]:
    """Return `spec` as an object, for the journal's meta."""
    return cast(dict[str, Json], to_json(spec))


def spec_from_json(value: Json) -> TaskSpec:
    """Return the spec that `value` describes. Raises WireError."""
    return from_json(TaskSpec, value)


def state_to_text(state: RunState) -> str:
    """Return `state` as one line of JSON, without its spec."""
    return to_text(state_to_json(state))


def state_from_text(text: str, spec: TaskSpec = NO_SPEC) -> RunState:
    """Return the state of a run of the task `spec` in a line of JSON. Raises WireError."""
    return state_from_json(from_text(text), spec)


def refusal_of(command: Command) -> e.CommandRefused:
    """Return the event that records a refused `command` with its arguments."""
    fields = command_to_json(command)
    return e.CommandRefused(op=str(fields.pop("op")), args=fields)


def present_state(value: Json) -> Json:
    """Return the JSON of a state with current names."""
    return _renamed(value, _STATE)


def present_event(kind: str, value: Json) -> Json:
    """Return the JSON of an event with current names. Older validations have a field per metric."""
    if kind == "checkpoint_saved":
        return _renamed(value, _CHECKPOINT)
    if kind == "validation_completed" and isinstance(value, dict) and "metrics" not in value:
        metrics: dict[str, Json] = {name: held for name, held in value.items() if name not in _NO_METRIC}
        return {**value, "metrics": metrics}
    return value


def _renamed(value: Json, names: dict[str, str]) -> Json:
    if not isinstance(value, dict):
        return value
    return {names.get(name, name): held for name, held in value.items()}

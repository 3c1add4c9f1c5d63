"""A run's state from the line that its journal holds, when most of the line is as it was a moment ago."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Final

from engine.protocol import wire
from engine.protocol.codec import Json, from_text
from engine.protocol.state import RunState
from engine.protocol.task_spec import NO_SPEC, TaskSpec

_FIELDS: Final = frozenset(field.name for field in fields(RunState))
_ABSENT: Final = object()


class StateDecoder:
    """Decodes states one after the other, each only where it differs from the one before."""

    def __init__(self) -> None:
        self._spec: TaskSpec = NO_SPEC
        self._text = ""
        self._held: dict[str, Json] = {}
        self._state: RunState | None = None

    def describe(self, spec: TaskSpec) -> None:
        """Take over the spec of the task: every later state has it, also one whose text is that of the last call."""
        if spec != self._spec:
            self._spec, self._text, self._state = spec, "", None

    def decode(self, text: str) -> RunState | None:
        """Return the state in `text`; `None` if it is the text of the last call. Raises WireError."""
        if text == self._text:
            return None
        whole = wire.present_state(from_text(text))
        changed = self._changed(whole)
        if self._state is None or changed is None:
            self._state = wire.state_from_json(whole, self._spec)
        elif changed:
            part = wire.state_from_json({"run": self._state.run, **changed})
            self._state = replace(self._state, **{name: getattr(part, name) for name in changed})
        self._text, self._held = text, whole if isinstance(whole, dict) else {}
        return self._state

    def _changed(self, whole: Json) -> dict[str, Json] | None:
        """Return the fields that differ from the last ones; `None` if a field is missing."""
        if not isinstance(whole, dict) or not self._held.keys() <= whole.keys():
            return None
        return {
            name: value for name, value in whole.items() if name in _FIELDS and value != self._held.get(name, _ABSENT)
        }

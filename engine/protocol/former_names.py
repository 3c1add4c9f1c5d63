"""Names that journals and checkpoints of earlier versions have for what is called otherwise now."""

from __future__ import annotations

from typing import Final

from engine.protocol.codec import Json

_STATE: Final = {"val_miou": "score", "best_miou": "best_score"}
_CHECKPOINT: Final = {"miou": "score"}
_NO_METRIC: Final = ("loss", "seconds", "metrics")


def present_state(value: Json) -> Json:
    """Return the JSON of a state with the names of today."""
    return _renamed(value, _STATE)


def present_event(kind: str, value: Json) -> Json:
    """Return the JSON of an event with the names of today; a validation had a field for each metric."""
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

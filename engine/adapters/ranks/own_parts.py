"""What each process of a training has for itself in a checkpoint of rank 0: generators, and its place in the data."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch

from engine.adapters.run.state.attached_state import AttachedState
from engine.adapters.run.state.generators import random_states, set_random_states
from engine.protocol.wire import state_from_text


def packed_part(live: AttachedState) -> bytes:
    """Return this process's part as bytes."""
    place = live.snapshot_position()
    buffer = io.BytesIO()
    torch.save({"rng": random_states(), "random": place["random"], "state": place["state"]}, buffer)
    return buffer.getvalue()


def unpacked_part(packed: bytes) -> Mapping[str, Any]:
    """Return the result of `packed_part`, with tensors on the CPU."""
    return torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)


def restore_as(live: AttachedState, rank: int, payload: Mapping[str, Any]) -> None:
    """Restore a checkpoint in another process than rank 0; generators are those of its part, or as they are."""
    own = random_states()
    live.restore(payload, state_from_text(payload["state"]))
    part = payload.get("ranks", {}).get(rank)
    set_random_states(own if part is None else part["rng"])


def take_up_position_as(live: AttachedState, rank: int, payload: Mapping[str, Any]) -> None:
    """Go on reading in another process than rank 0, in its own order if the checkpoint has its part.

    Without generators it would begin the epoch again, and make more steps than the others.
    """
    part = payload.get("ranks", {}).get(rank) or {"random": None, "state": None}
    place = {**payload["position"], "random": part["random"] or random_states(), "state": part["state"]}
    live.take_up_position({**payload, "position": place})

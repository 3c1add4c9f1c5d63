"""The generators of random numbers on which a foreign training may draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from engine.training.checkpoint.random_states import host_random_states, set_host_random_states


def random_states() -> dict[str, Any]:
    """Return the states of the generators of Python, NumPy and torch, in types that a checkpoint can hold."""
    return {
        "cpu": torch.get_rng_state(),
        "cuda": [state.clone() for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_initialized() else [],
        **host_random_states(),
    }


def set_random_states(states: Mapping[str, Any]) -> None:
    """Set the generators to `states`, the result of `random_states`."""
    torch.set_rng_state(states["cpu"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    set_host_random_states(states)

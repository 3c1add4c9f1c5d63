"""The generators of Python and NumPy, in types that a checkpoint can hold."""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed the global generators of torch, Python and NumPy."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def host_random_states() -> dict[str, Any]:
    """Return the states of the generators of Python and NumPy."""
    kind, keys, place, has_gauss, gauss = cast(tuple[str, Any, int, int, float], np.random.get_state(legacy=True))
    version, numbers, next_gauss = random.getstate()
    return {
        "numpy": [kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), place, has_gauss, gauss],
        "python": [version, list(numbers), next_gauss],
    }


def set_host_random_states(states: Mapping[str, Any]) -> None:
    """Set the generators of Python and NumPy to `states`, the result of `host_random_states`."""
    kind, keys, place, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), place, has_gauss, gauss))
    version, numbers, next_gauss = states["python"]
    random.setstate((version, tuple(numbers), next_gauss))


@contextmanager
def host_random_states_kept() -> Generator[None]:
    """Restore the generators of Python and NumPy after the block."""
    before = host_random_states()
    try:
        yield
    finally:
        set_host_random_states(before)

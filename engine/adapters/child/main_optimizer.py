"""Which of a program's optimizers makes the steps of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from weakref import WeakSet, ref

import torch

from ..hooks.optimizer_hooks import OptimizerHooks

Found = Callable[[], torch.optim.Optimizer | None]
"""An optimizer that the program may have given up: a weak reference."""
_MOST_OTHERS: Final = 100
"""Updates of another optimizer after which the first one is no longer waited for."""


class MainOptimizer:
    """The optimizer whose updates are the steps of the run: the first one, until the program has left it."""

    def __init__(self, hooks: OptimizerHooks) -> None:
        self._hooks = hooks
        self._main: Found = lambda: None
        self._other: Found = lambda: None
        self._others: WeakSet[torch.optim.Optimizer] = WeakSet()
        self._num_others = 0
        """Number of updates of `_other` since the last one of `_main`."""

    def become(self, optimizer: torch.optim.Optimizer) -> None:
        """Make it `optimizer`."""
        self._main, self._num_others = ref(optimizer), 0

    def makes_step(self, optimizer: torch.optim.Optimizer, *, is_alone: bool) -> bool:
        """Return whether this update of `optimizer` ends a step of the run.

        Several processes must agree on that. So unless this one `is_alone`, it is not told from the memory that is free
        again, but from updates.
        """
        if optimizer is self._main():
            self._num_others = 0
            return True
        self._num_others = self._num_others + 1 if optimizer is self._other() else 1
        self._other = ref(optimizer)
        is_used_again = optimizer in self._others or len(self._hooks.optimizers) == 1
        self._others.add(optimizer)
        if self._main() is None and is_alone and is_used_again:
            self.become(optimizer)
            return True
        if self._num_others > _MOST_OTHERS:
            self.become(optimizer)
            self._hooks.take()  # of many updates together
        return False

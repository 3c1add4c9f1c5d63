"""Keep a foreign training alive: faults of the cockpit detach it, and what it cannot attach to goes on without it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol

from engine.adapters.hooks.survive import say
from engine.adapters.trainers.trainer_run import TrainerRun
from engine.errors import UserError

P = ParamSpec("P")


class HasTrainerRun(Protocol):
    """A callback of a trainer."""

    @property
    def cockpit(self) -> TrainerRun:
        """The run that the callback records."""
        ...


# `Any`: each trainer decides what its hooks return.
def survived(hook: Callable[Concatenate[Any, P], Any]) -> Callable[Concatenate[Any, P], Any]:
    """Return a hook of a callback that detaches the cockpit at a fault of its own, and then returns `None`.

    A UserError is not a fault: the user learns before the first step that the run cannot be recorded.
    """

    @functools.wraps(hook)
    def call(self: HasTrainerRun, *args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return hook(self, *args, **kwargs)
        except UserError:
            raise
        except Exception as error:  # a fault of the cockpit must not end a foreign training
            self.cockpit.detach(error)
            return None

    return call


def say_why_not(reason: str) -> None:
    """Write on the error stream why the cockpit stays away from a training, which goes on."""
    say(f"not attached, the training goes on without it: {reason}")

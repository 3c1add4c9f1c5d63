"""Predict the outcomes of commands on a state, and the state after them."""

from __future__ import annotations

from collections.abc import Iterable

from engine.protocol.commands import Command
from engine.protocol.decide import Outcome, decide
from engine.protocol.evolve import evolve
from engine.protocol.state import RunState


class Projection:
    """The state after `outcomes`, as far as the rules alone can tell.

    Keys and panels ask one projection about the same commands, so it decides each command once and keeps the outcome.
    """

    def __init__(self, state: RunState, outcomes: tuple[Outcome, ...] = ()) -> None:
        self.state = state
        self.outcomes = outcomes
        self._known: dict[Command, Outcome] = {}
        self._next: dict[Command, Projection] = {}

    def outcome_of(self, command: Command) -> Outcome:
        """Return the outcome of `command` on the state."""
        if command not in self._known:
            self._known[command] = decide(self.state, command)
        return self._known[command]

    def after(self, commands: Iterable[Command]) -> Projection:
        """Return the projection after `commands`, so that a second key press shows what it adds to the first."""
        projection = self
        for command in commands:
            projection = projection._after_one(command)
        return projection

    def _after_one(self, command: Command) -> Projection:
        if command not in self._next:
            outcome, state = self.outcome_of(command), self.state
            if outcome.event is not None:
                state = evolve(state, outcome.event, state.step)
            self._next[command] = Projection(state, (*self.outcomes, outcome))
        return self._next[command]

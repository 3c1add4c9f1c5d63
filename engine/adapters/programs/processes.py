"""The connected processes of one program: all hold at the same step, and go on with what rank 0's hold decided.

Rank 0 announces, between two steps, that all hold after the next one, and begins that step only when all have heard of
it. None of them can have ended it before: its gradients are averaged with those of rank 0. Processes that average
nothing hold at their next step.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

from engine.adapters.programs.connection import Connection

_JOIN_SECONDS: Final = 15.0
"""Seconds for which the first step of a process waits for that of the others."""
_HEARD_SECONDS: Final = 10.0
"""Seconds for which rank 0 waits until another process has heard of a hold."""


class Processes:
    """The processes by rank. `first` is rank 0, `None` before it is known.

    `are_all` is whether all are connected: those of other machines are not.
    """

    def __init__(self) -> None:
        self.first: Connection | None = None
        self.are_all = False
        self._by_rank: dict[int, Connection] = {}
        self._heard: dict[Connection, int] = {}
        self._decided: list[Mapping[str, Any]] = []
        self._num_holds: dict[Connection, int] = {}
        self._changed = threading.Condition()

    def join(self, connection: Connection, hello: Mapping[str, Any]) -> bool:
        """Add a process, and wait for the others. Return whether it is the one that is recorded, the first rank 0."""
        num_ranks = int(hello["world"])
        with self._changed:
            self._by_rank[hello["rank"]] = connection
            is_first = self.first is None and hello["rank"] == 0
            if is_first:
                self.first = connection
            self._num_holds[connection] = len(self._decided)
            self._changed.notify_all()
            if hello["nearby"] == num_ranks:
                self._changed.wait_for(lambda: len(self._by_rank) == num_ranks, _JOIN_SECONDS)
            self.are_all = len(self._by_rank) == num_ranks
        return is_first

    @property
    def are_together(self) -> bool:
        """Whether there are several processes that hold at the same step."""
        return self.are_all and len(self._by_rank) > 1

    def announce(self, step: int) -> None:
        """Let all processes hold after step `step`. Waits until they have heard of it."""
        with self._changed:
            others = self._others()
        for other in others:
            other.say({"hold": step})
        with self._changed:
            self._changed.wait_for(
                lambda: all(self._heard.get(other, 0) >= step for other in self._others()), _HEARD_SECONDS
            )

    def _others(self) -> list[Connection]:
        return [connection for connection in self._by_rank.values() if connection is not self.first]

    def note_heard(self, connection: Connection, step: int) -> None:
        """Note that a process has heard that it is to hold after step `step`."""
        with self._changed:
            self._heard[connection] = step
            self._changed.notify_all()

    def decide(self, control: Mapping[str, Any]) -> None:
        """Let the others go on with `control`, which rank 0's hold decided."""
        with self._changed:
            self._decided.append(control)
            self._changed.notify_all()

    def await_decision(self, connection: Connection) -> Mapping[str, Any] | None:
        """Return what the hold of rank 0 decided at which this process holds; `None` if rank 0 has ended before."""
        with self._changed:
            number = self._num_holds[connection]
            self._changed.wait_for(lambda: len(self._decided) > number or 0 not in self._by_rank)
            if len(self._decided) <= number:
                return None
            self._num_holds[connection] = number + 1
            return self._decided[number]

    def leave(self, connection: Connection) -> None:
        """Forget a process that has ended."""
        with self._changed:
            self._by_rank = {rank: known for rank, known in self._by_rank.items() if known is not connection}
            self._changed.notify_all()

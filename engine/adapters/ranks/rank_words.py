"""Decisions of rank 0 on their way to the other processes of a training, which adopt them at the same step boundary.

Rank 0 announces at one boundary that all hold at the next. No collective operation is needed for that. A step of any
rank ends only after its gradients were averaged with those of rank 0, which had announced it before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Final

from engine.adapters.ranks.rank_store import OPENING, RankStore
from engine.adapters.run.knobs import KnobValue
from engine.errors import UserError
from engine.protocol import events as e
from engine.protocol.events import Event
from engine.protocol.record import record

_DUE_SECONDS: Final = 20.0
"""Seconds for which the others wait for rank 0 to say whether a step is repeated, which it does after the same step."""


@record
class RankWord:
    """What is in force in all processes after a step boundary, and what the trainer is to do there.

    `weights` are those of loss terms, `step` is the number of steps done, and with `restore` a checkpoint follows.
    `is_gone` is whether all detach themselves here. `refused` is why the run cannot begin, an empty string if it can.
    """

    lr_scale: float = 1.0
    lr_pin: float | None = None
    lr_reference: float = 0.0
    clip: float = float("inf")
    knobs: Mapping[str, KnobValue] = field(default_factory=dict[str, KnobValue])
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    step: int = 0
    restore: bool = False
    stop: bool = False
    save: bool = False
    evaluate: bool = False
    is_gone: bool = False
    refused: str = ""

    @property
    def todo(self) -> frozenset[type[Event]]:
        """What the trainer is to do."""
        asked = {e.CheckpointRequested: self.save, e.ValidationRequested: self.evaluate}
        return frozenset(kind for kind, is_asked in asked.items() if is_asked)


class RankWords(RankStore):
    """The words of one training, for one of its `num_ranks` processes. `open_next` is called at each boundary of all.

    A process with a fault of the cockpit complains, and goes on listening: rank 0 lets all detach at one boundary.
    `lacks` is what is said of a process that does not begin.
    """

    def __init__(self, rank: int, num_ranks: int, lacks: str = "has no callback of the cockpit") -> None:
        super().__init__(rank)
        self._boundary = 0
        self._held: int | None = None
        self.num_ranks, self._lacks = num_ranks, lacks
        self._replay_key = ""
        self.has_begun = False
        """Whether all processes have opened their run, so that each is at every boundary."""

    # --- begin ----------------------------------------------------------------------------

    def await_others(self) -> str:
        """Wait in rank 0 until all others are ready. Return why one is not, or an empty string."""
        for rank in range(1, self.num_ranks):
            key = f"ready {rank}"
            try:
                self.store.wait([key], OPENING)
            except RuntimeError:  # a time limit, of one of several classes
                return f"rank {rank} {self._lacks}"
            if reason := self.store.get(key).decode():
                return reason
        return ""

    def hear_first(self) -> RankWord:
        """Tell rank 0, in another rank, that this one is ready, and return what is in force.

        Raises RuntimeError if rank 0 gives no answer.
        """
        self.store.set(f"ready {self.rank}", "")
        self.store.wait(["word 0"], 2 * OPENING)
        self.has_begun = True
        return RankWord(**json.loads(self.store.get("word 0")))

    def refuse(self, error: BaseException) -> None:
        """Tell the others that this process cannot begin: none of them will. They raise a UserError of rank 0 too."""
        if not self.is_first:
            self.store.set(f"ready {self.rank}", f"rank {self.rank}: {error!r}")
        else:
            self._say_gone(str(error) if isinstance(error, UserError) else "")

    def _say_gone(self, refused: str = "") -> None:
        self.store.set(f"word {self._held or 0}", json.dumps(asdict(RankWord(is_gone=True, refused=refused))))

    # --- at each boundary -----------------------------------------------------------------

    def open_next(self) -> bool:
        """Go on to the next boundary. Return whether all processes hold there."""
        self._boundary += 1
        if self.is_first:
            return self._held == self._boundary
        return bool(self.store.check([f"hold {self._boundary}"]))

    def hold_next(self) -> None:
        """Announce, in rank 0, that all hold at the next boundary."""
        self._held = self._boundary + 1
        self.store.set(f"hold {self._held}", "1")
        self.store.check([f"hold {self._held}"])  # its answer says that the store has the announcement

    def say(self, word: RankWord) -> None:
        """Say, in rank 0, what is in force after this boundary."""
        self._held, self.has_begun = None, True
        self.store.set(f"word {self._boundary}", json.dumps(asdict(word)))

    def hear(self) -> RankWord:
        """Return, in another rank, what is in force after this boundary. Waits for rank 0, also while it is paused."""
        key = f"word {self._boundary}"
        self.await_key(key)
        return RankWord(**json.loads(self.store.get(key)))

    def leave(self) -> None:
        """Let the other processes detach themselves, because rank 0 has done so."""
        if self._held is None:
            self.hold_next()
        self._say_gone()

    # --- repetitions of a step --------------------------------------------------------------

    @property
    def boundary(self) -> int:
        """The number of boundaries so far, which is the same in all processes after the same step."""
        return self._boundary

    def share_due(self, *, is_due: bool) -> bool:
        """Return whether rank 0 has the step repeated, in all processes; False if it does not say so in time."""
        former, self._replay_key = self._replay_key, f"replay {self._boundary}"
        if not self.is_first:
            return self.await_key(self._replay_key, _DUE_SECONDS) and self.store.get(self._replay_key) == b"1"
        self.store.set(self._replay_key, "1" if is_due else "0")
        if former:
            self.store.delete_key(former)  # all have read it: none has taken this step without the others
        return is_due

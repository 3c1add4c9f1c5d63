"""Decisions of rank 0 on their way to the other processes of a training, which adopt them at the same step boundary.

Rank 0 announces at one boundary that all hold at the next. No collective operation is needed for that. A step of any
rank ends only after its gradients were averaged with those of rank 0, which had announced it before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final

from torch.distributed import distributed_c10d

from engine.adapters.run.knobs import KnobValue
from engine.protocol import events as e
from engine.protocol.events import Event

_LONG: Final = timedelta(days=365)
"""Time limit of a wait: a pause lasts as long as the user wants."""
_count = 0


@dataclass(frozen=True, slots=True)
class RankWord:
    """What is in force in all processes after a step boundary, and what the trainer is to do there.

    `is_gone` is whether rank 0 has detached itself: the others do the same.
    """

    lr_scale: float = 1.0
    lr_pin: float | None = None
    lr_reference: float = 0.0
    clip: float = float("inf")
    knobs: Mapping[str, KnobValue] = field(default_factory=dict[str, KnobValue])
    stop: bool = False
    save: bool = False
    evaluate: bool = False
    is_gone: bool = False

    @property
    def todo(self) -> frozenset[type[Event]]:
        """What the trainer is to do."""
        asked = {e.CheckpointRequested: self.save, e.ValidationRequested: self.evaluate}
        return frozenset(kind for kind, is_asked in asked.items() if is_asked)


class RankWords:
    """The words of one training, for one of its processes. `open_next` is called at each step boundary of all."""

    def __init__(self, rank: int) -> None:
        global _count  # noqa: PLW0603 (all processes make them in the same order, so the numbers agree)
        _count += 1
        store: Any = distributed_c10d._get_default_store()  # pyright: ignore[reportPrivateUsage]
        self._store = distributed_c10d.PrefixStore(  # pyright: ignore[reportPrivateImportUsage]
            f"cockpit-{_count}", store
        )
        self._boundary = 0
        self._held: int | None = None
        self.is_first = rank == 0

    def open_next(self) -> bool:
        """Go on to the next boundary. Return whether all processes hold there."""
        self._boundary += 1
        if self.is_first:
            return self._held == self._boundary
        return bool(self._store.check([f"hold {self._boundary}"]))

    def hold_next(self) -> None:
        """Announce, in rank 0, that all hold at the next boundary."""
        self._held = self._boundary + 1
        self._store.set(f"hold {self._held}", "1")

    def say(self, word: RankWord) -> None:
        """Say, in rank 0, what is in force after this boundary."""
        self._held = None
        self._store.set(f"word {self._boundary}", json.dumps(asdict(word)))

    def hear(self) -> RankWord:
        """Return, in another rank, what is in force after this boundary. Waits for rank 0, also while it is paused."""
        key = f"word {self._boundary}"
        self._store.wait([key], _LONG)
        return RankWord(**json.loads(self._store.get(key)))

    def leave(self) -> None:
        """Let the other processes detach themselves, because rank 0 has done so."""
        if self._held is None:
            self.hold_next()
        assert self._held is not None
        self._store.set(f"word {self._held}", json.dumps(asdict(RankWord(is_gone=True))))

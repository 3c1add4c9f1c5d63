"""Decisions of rank 0 on their way to the other processes of a training, which adopt them at the same step boundary.

Rank 0 announces at one boundary that all hold at the next. No collective operation is needed for that. A step of any
rank ends only after its gradients were averaged with those of rank 0, which had announced it before.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from torch.distributed import distributed_c10d

from engine.adapters.ranks.rank_word import RankWord
from engine.adapters.run.knobs import KnobValue
from engine.errors import UserError

_OPENING: Final = timedelta(minutes=1)
"""Time limit for the other processes to begin, which they do together: the network was just given to all."""
_FIRST_SECONDS: Final = 0.001
_LAST_SECONDS: Final = 0.05
"""Seconds between two looks for a word: each look is a tenth of the wait so far later than the one before."""
_HEARD_SECONDS: Final = 5.0
"""Seconds for which rank 0 waits at a stop until another process has heard of it."""
_COMPLAINT: Final = "complaint"
_FAILURE: Final = "failure"
_KEPT_PARTS: Final = 3
"""Number of points whose parts stay in the store: rank 0 reads only those of the newest."""
_count = 0


class RankFaultError(RuntimeError):
    """Raised in rank 0 for a fault of the cockpit, or an error, in another process. The message names the rank."""


class RankWords:
    """The words of one training, for one of its `num_ranks` processes. `open_next` is called at each boundary of all.

    A process with a fault of the cockpit complains, and goes on listening: rank 0 lets all detach at one boundary.
    `lacks` is what is said of a process that does not begin.
    """

    def __init__(self, rank: int, num_ranks: int, lacks: str = "has no callback of the cockpit") -> None:
        global _count  # noqa: PLW0603 (all processes make them in the same order, so the numbers agree)
        _count += 1
        store: Any = distributed_c10d._get_default_store()  # pyright: ignore[reportPrivateUsage]
        self._store: Any = distributed_c10d.PrefixStore(  # pyright: ignore[reportPrivateImportUsage]
            f"cockpit-{_count}", store
        )
        self.boundary = 0
        self._held: int | None = None
        self.rank, self.num_ranks, self._lacks = rank, num_ranks, lacks
        self.is_first = rank == 0
        self.has_begun = False
        """Whether all processes have opened their run, so that each is at every boundary."""

    # --- begin ----------------------------------------------------------------------------

    def await_others(self) -> str:
        """Wait in rank 0 until all others are ready. Return why one is not, or an empty string."""
        for rank in range(1, self.num_ranks):
            key = f"ready {rank}"
            try:
                self._store.wait([key], _OPENING)
            except RuntimeError:  # a time limit, of one of several classes
                return f"rank {rank} {self._lacks}"
            if reason := self._store.get(key).decode():
                return reason
        return ""

    def hear_first(self) -> RankWord:
        """Tell rank 0, in another rank, that this one is ready, and return what is in force.

        Raises RuntimeError if rank 0 gives no answer.
        """
        self._store.set(f"ready {self.rank}", "")
        self._store.wait(["word 0"], 2 * _OPENING)
        self.has_begun = True
        return RankWord(**json.loads(self._store.get("word 0")))

    def refuse(self, error: BaseException) -> None:
        """Tell the others that this process cannot begin: none of them will. They raise a UserError of rank 0 too."""
        if not self.is_first:
            self._store.set(f"ready {self.rank}", f"rank {self.rank}: {error!r}")
        else:
            self._say_gone(str(error) if isinstance(error, UserError) else "")

    def _say_gone(self, refused: str = "") -> None:
        self._store.set(f"word {self._held or 0}", json.dumps(asdict(RankWord(is_gone=True, refused=refused))))

    # --- at each boundary -----------------------------------------------------------------

    def open_next(self) -> bool:
        """Go on to the next boundary. Return whether all processes hold there."""
        self.boundary += 1
        if self.is_first:
            return self._held == self.boundary
        return bool(self._store.check([f"hold {self.boundary}"]))

    def hold_next(self) -> None:
        """Announce, in rank 0, that all hold at the next boundary."""
        self._held = self.boundary + 1
        self._store.set(f"hold {self._held}", "1")
        self._store.check([f"hold {self._held}"])  # its answer says that the store has the announcement

    def say(self, word: RankWord) -> None:
        """Say, in rank 0, what is in force after this boundary."""
        self._held, self.has_begun = None, True
        self._store.set(f"word {self.boundary}", json.dumps(asdict(word)))
        for rank in range(1, self.num_ranks) if word.stop else ():  # this process may keep the store, and end now
            self._await(f"heard {self.boundary} {rank}", _HEARD_SECONDS)

    def hear(self) -> RankWord:
        """Return, in another rank, what is in force after this boundary. Waits for rank 0, also while it is paused."""
        key = f"word {self.boundary}"
        self._await(key)
        word = RankWord(**json.loads(self._store.get(key)))
        if word.stop:
            self._store.set(f"heard {self.boundary} {self.rank}", "")
        return word

    def _await(self, key: str, seconds: float = float("inf")) -> bool:
        """Wait for `key` without a lock on the store, of which other threads of torch may have need."""
        began = time.monotonic()
        while not self._store.check([key]):
            waited = time.monotonic() - began
            if waited >= seconds:
                return False
            time.sleep(min(max(waited / 10, _FIRST_SECONDS), _LAST_SECONDS))
        return True

    def let_go(self) -> None:
        """Let the other processes detach themselves, because rank 0 has done so."""
        if self._held is None:
            self.hold_next()
        self._say_gone()

    def complain(self, fault: str) -> None:
        """Tell rank 0 of a fault of the cockpit in this process."""
        self._store.set(_COMPLAINT, f"rank {self.rank}: {fault}")

    def complaint(self) -> str:
        """Return, in rank 0, the fault of another process; an empty string for none."""
        return self._store.get(_COMPLAINT).decode() if self._store.check([_COMPLAINT]) else ""

    def note_failure(self, sentence: str) -> None:
        """Tell rank 0 that this process ends with an error of the training."""
        self._store.set(_FAILURE, f"rank {self.rank}: {sentence}")

    def failure(self) -> str:
        """Return, in rank 0, the error that ended another process; an empty string for none."""
        return self._store.get(_FAILURE).decode() if self._store.check([_FAILURE]) else ""

    # --- notes from one process to another --------------------------------------------------

    def leave(self, key: str, text: str) -> None:
        """Leave a note, of which the key says for whom it is."""
        self._store.set(f"note {key}", text)

    def taken(self, key: str, seconds: float = 0.0) -> str:
        """Return a note and remove it; an empty string if there is none within `seconds`."""
        if not self._await(f"note {key}", seconds):
            return ""
        text = self._store.get(f"note {key}").decode()
        self._store.delete_key(f"note {key}")
        return text

    # --- what is the process's own ----------------------------------------------------------

    def leave_part(self, point: int, part: bytes) -> None:
        """Leave this process's part of the checkpoint of `point`, a number that all count alike, for rank 0."""
        self._store.set(f"part {point} {self.rank}", part)
        if point > _KEPT_PARTS:
            self._store.delete_key(f"part {point - _KEPT_PARTS} {self.rank}")

    def part_of(self, point: int, rank: int, seconds: float) -> bytes:
        """Return, in rank 0, the part that `rank` leaves within `seconds`; empty bytes if it does not."""
        key = f"part {point} {rank}"
        return bytes(self._store.get(key)) if self._await(key, seconds) else b""

    def share_value(self, key: str, value: KnobValue) -> KnobValue:
        """Return the value of rank 0 in all processes; the own one if rank 0 shares none within a minute."""
        key = f"value {key}"
        if self.is_first:
            self._store.set(key, json.dumps(value))
        elif self._await(key, _OPENING.total_seconds()):
            return json.loads(self._store.get(key))
        return value

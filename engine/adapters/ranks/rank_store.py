"""The store of a training with several processes: what each leaves for rank 0, and values that rank 0 shares."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any, Final

from torch.distributed import distributed_c10d

from engine.adapters.run.knobs import KnobValue

OPENING: Final = timedelta(minutes=1)
"""Time limit for the other processes to begin, which they do together: the network was just given to all."""
_FIRST_SECONDS: Final = 0.001
_LAST_SECONDS: Final = 0.05
"""Seconds between two looks for a key: each look is a tenth of the wait so far later than the one before."""
_COMPLAINT: Final = "complaint"
_FAILURE: Final = "failure"
_KEPT_PARTS: Final = 3
"""Number of points whose parts stay in the store: rank 0 reads only those of the newest."""
_count = 0


class RankStore:
    """The keys of one training in torch's store, for its process `rank`. No method is a collective operation."""

    def __init__(self, rank: int) -> None:
        global _count  # noqa: PLW0603 (all processes make them in the same order, so the numbers agree)
        _count += 1
        store: Any = distributed_c10d._get_default_store()  # pyright: ignore[reportPrivateUsage]
        self.store: Any = distributed_c10d.PrefixStore(  # pyright: ignore[reportPrivateImportUsage]
            f"cockpit-{_count}", store
        )
        self.rank = rank
        self.is_first = rank == 0

    def await_key(self, key: str, seconds: float = float("inf")) -> bool:
        """Wait for `key` without a lock on the store, of which other threads of torch may have need."""
        began = time.monotonic()
        while not self.store.check([key]):
            waited = time.monotonic() - began
            if waited >= seconds:
                return False
            time.sleep(min(max(waited / 10, _FIRST_SECONDS), _LAST_SECONDS))
        return True

    def complain(self, fault: str) -> None:
        """Tell rank 0 of a fault of the cockpit in this process."""
        self.store.set(_COMPLAINT, f"rank {self.rank}: {fault}")

    def complaint(self) -> str:
        """Return, in rank 0, the fault of another process; an empty string for none."""
        return self.store.get(_COMPLAINT).decode() if self.store.check([_COMPLAINT]) else ""

    def note_failure(self, sentence: str) -> None:
        """Tell rank 0 that this process ends with an error of the training."""
        self.store.set(_FAILURE, f"rank {self.rank}: {sentence}")

    def failure(self) -> str:
        """Return, in rank 0, the error that ended another process; an empty string for none."""
        return self.store.get(_FAILURE).decode() if self.store.check([_FAILURE]) else ""

    def leave_finding(self, point: int, text: str) -> None:
        """Leave the result of this process's repetition for rank 0."""
        self.store.set(f"finding {point} {self.rank}", text)

    def finding_of(self, point: int, rank: int) -> str:
        """Return, in rank 0, the result that `rank` has left; an empty string if there is none yet."""
        key = f"finding {point} {rank}"
        if not self.store.check([key]):
            return ""
        text = self.store.get(key).decode()
        self.store.delete_key(key)
        return text

    def leave_part(self, point: int, part: bytes) -> None:
        """Leave this process's part of the checkpoint of `point`, a number that all count alike, for rank 0."""
        self.store.set(f"part {point} {self.rank}", part)
        if point > _KEPT_PARTS:
            self.store.delete_key(f"part {point - _KEPT_PARTS} {self.rank}")

    def part_of(self, point: int, rank: int, seconds: float) -> bytes:
        """Return, in rank 0, the part that `rank` leaves within `seconds`; empty bytes if it does not."""
        key = f"part {point} {rank}"
        return bytes(self.store.get(key)) if self.await_key(key, seconds) else b""

    def share_value(self, key: str, value: KnobValue) -> KnobValue:
        """Return the value of rank 0 in all processes; the own one if rank 0 shares none within a minute."""
        key = f"value {key}"
        if self.is_first:
            self.store.set(key, json.dumps(value))
        elif self.await_key(key, OPENING.total_seconds()):
            return json.loads(self.store.get(key))
        return value

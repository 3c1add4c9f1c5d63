"""Signs of life of every rank in the store that all share, and the sentence that names the rank to blame."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from threading import Event, Thread
from typing import Final, Protocol, TypeVar

from engine.protocol.record import record

BEAT_SECONDS: Final = 1.0
"""Seconds between two signs of life."""
WAITING: Final = "waiting for the other ranks"
"""What a rank does that is not to blame for a standstill."""
_ANSWER_SECONDS: Final = 2.0
"""Seconds within which the store answers. It does not if rank 0 keeps it and hangs with all of its threads."""


T = TypeVar("T")


class Store(Protocol):
    """The keys and values that all ranks share, as torch's stores have them."""

    def set(self, key: str, value: str, /) -> None:
        """Store `value` under `key`, in place of an earlier one."""
        ...

    def get(self, key: str, /) -> bytes:
        """Return the value of `key` in UTF-8. Waits for it if no rank has set it yet."""
        ...

    def check(self, keys: list[str], /) -> bool:
        """Return whether all of `keys` have a value, without waiting for one."""
        ...


@record
class Beat:
    """One sign of life: its number, the steps done, what the rank is doing, and its process."""

    number: int = 0
    step: int = 0
    doing: str = "starting"
    process: str = ""


class Pulse:
    """The signs of life of one rank, by a thread after `start`. `step` and `doing` are what they say.

    A store that does not answer is not asked again.
    """

    def __init__(self, store: Store, rank: int, world: int, process: str) -> None:
        self._store, self._rank, self._world, self._process = store, rank, world, process
        self._number = 0
        self._of_rank_0 = Beat()
        self._is_mute = False
        self._ended = Event()
        self.step, self.doing = 0, "starting"

    def start(self) -> None:
        """Start the thread."""
        self.beat()
        Thread(target=self._work, name="pulse", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()

    def beat(self) -> None:
        """Give a sign of life."""
        self._number += 1
        beat = Beat(self._number, self.step, self.doing, self._process)
        self._store.set(f"pulse/{self._rank}", json.dumps(asdict(beat)))

    def hear_rank_0(self) -> None:
        """Keep the newest sign of life of rank 0, for the time when the store does not answer."""
        if self._rank and self._store.check(["pulse/0"]):
            self._of_rank_0 = Beat(**json.loads(self._store.get("pulse/0")))

    def leave(self, sentence: str = "") -> None:
        """Tell the other ranks that this one ends, and why; an empty string if it has lost the others."""
        self._ask(self.beat)  # the store may be gone with its process, and the other ranks with it
        self._ask(lambda: self._store.set(f"left/{self._rank}", sentence))

    def reason_of(self, rank: int) -> str | None:
        """Return why `rank` has ended, as far as it said so; `None` if it did not."""
        return self._text(f"left/{rank}")

    def blame(self, waited: float, pause: Callable[[float], object] = time.sleep) -> str:
        """Return a sentence that names the rank at which the others wait, `waited` seconds until now.

        Takes two signs of life. A rank that gives none in this time is gone, or stopped if its process is still there.
        """
        before = self.beats()
        pause(2.2 * BEAT_SECONDS)
        beats = self.beats()
        if self._is_mute:
            first = beats[0]
            return f"rank 0{_of(first)} has not answered for {waited:.0f} s: {self._last(first)}"
        others = [rank for rank in range(self._world) if rank != self._rank]
        said = {rank: reason for rank in others if (reason := self.reason_of(rank)) is not None}
        for rank, reason in said.items():
            if reason:
                return f"rank {rank} ended after step {beats[rank].step}: {reason}"
        quiet = [rank for rank in others if rank not in said]
        for rank in quiet:
            if beats[rank].number == before[rank].number:
                lost = "gives no sign of life" if _is_here(beats[rank].process) else "is gone"
                return f"rank {rank}{_of(beats[rank])} {lost}: {self._last(beats[rank])}"
        for rank in quiet:
            if beats[rank].doing != WAITING:
                return f"rank {rank}{_of(beats[rank])} has not answered for {waited:.0f} s: {self._last(beats[rank])}"
        return f"the {self._world} ranks have lost each other after step {self.step}"

    def _last(self, beat: Beat) -> str:
        """Return the last known step and activity. All ranks have done the steps of this one: none goes ahead.

        One may be about to tell of the next step. A larger number is of before a rollback. What it did before its last
        step is left out.
        """
        step = beat.step if beat.step == self.step + 1 else self.step
        return f"its last step was {step}" + (f", then it was {beat.doing}" if beat.step >= step else "")

    def beats(self) -> Mapping[int, Beat]:
        """Return the newest sign of life of each rank."""
        return {rank: self._beat_of(rank) for rank in range(self._world)}

    def _beat_of(self, rank: int) -> Beat:
        text = self._text(f"pulse/{rank}")
        known = Beat() if rank else self._of_rank_0
        return Beat(**json.loads(text)) if text else known

    def _text(self, key: str) -> str | None:
        return self._ask(lambda: self._store.get(key).decode() if self._store.check([key]) else None)

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Return the store's answer; `None` if it gives none, or is gone."""
        answers: list[T] = []

        def ask() -> None:
            with suppress(Exception):  # torch raises its own errors if the store is gone
                answers.append(question())

        if not self._is_mute:
            asking = Thread(target=ask, name="question", daemon=True)
            asking.start()
            asking.join(_ANSWER_SECONDS)
            self._is_mute = asking.is_alive()
        return answers[0] if answers else None

    def _work(self) -> None:
        with suppress(Exception):  # the store is gone: the main thread notices by itself
            while not self._ended.wait(BEAT_SECONDS):
                self.beat()
                self.hear_rank_0()


def process_name() -> str:
    """Return this process as the sentences name it."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _is_here(process: str) -> bool:
    """Return whether a process, as `process_name` names it, is one of this machine that has not ended."""
    import psutil  # noqa: PLC0415 - only needed if a rank is lost

    found = re.fullmatch(r"process (\d+) on (.+)", process)
    if found is None or found[2] != socket.gethostname():
        return False
    with suppress(psutil.Error):
        return psutil.Process(int(found[1])).status() != psutil.STATUS_ZOMBIE
    return False


def _of(beat: Beat) -> str:
    return f" ({beat.process})" if beat.process else ""

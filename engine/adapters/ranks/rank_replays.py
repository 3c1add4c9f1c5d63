"""A step that each of several processes repeats with its own batches: rank 0 gathers what they have found."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from engine.adapters.ranks.rank_words import RankWords
from engine.adapters.replays.pending_replays import Repetition
from engine.outputs.fault_report import NOT_REPLAYED, REPRODUCED, VANISHED, Fault
from engine.protocol.codec import WireError, from_json, from_text, to_text

_POLL_SECONDS: Final = 0.02
_SECONDS: Final = 75.0
"""Maximum time for which rank 0 waits for the others: longer than a repetition may take."""
_DUE_SECONDS: Final = 20.0
"""Seconds for which the others wait for rank 0 to say whether a step is repeated, which it does after the same step."""
_LAST_SECONDS: Final = 15.0
"""Seconds that the end of a process waits for its repetitions."""


def share_due(words: RankWords, *, is_due: bool) -> bool:
    """Return whether rank 0 has the newest step repeated, in all processes; False if it does not say so in time."""
    if not words.is_first:
        return words.taken(f"replay {words.boundary} {words.rank}", _DUE_SECONDS) == str(True)
    for rank in range(1, words.num_ranks):
        words.leave(f"replay {words.boundary} {rank}", str(is_due))
    return is_due


class GatheredReplay:
    """The repetitions of one step in all processes, in rank 0: `point` is the number of the boundary."""

    def __init__(self, own: Repetition, words: RankWords, point: int) -> None:
        self.step, self.started = own.step, own.started
        self._own, self._words, self._point = own, words, point
        self._found: dict[int, Fault] = {}

    def result(self) -> Fault | None:
        """Return the fault once all processes have ended their repetition, or take too long; `None` before."""
        if 0 not in self._found and (fault := self._own.result()) is not None:
            self._found[0] = fault
        for rank in range(1, self._words.num_ranks):
            if rank not in self._found and (text := self._words.taken(f"finding {self._point} {rank}")):
                self._found[rank] = _decoded(text)
        if len(self._found) < self._words.num_ranks and time.monotonic() - self.started < _SECONDS:
            return None
        return first_fault(self._found, self._words.num_ranks)

    def abandon(self) -> None:
        """End the repetition of rank 0 without a result."""
        if 0 not in self._found:
            self._own.abandon()


def first_fault(found: Mapping[int, Fault], num_ranks: int) -> Fault:
    """Return the fault of the first rank in whose repetition it came again; without a rank if it did so in all alike.

    `found` are the results of the ranks that gave one.
    """
    again = {rank: fault for rank, fault in sorted(found.items()) if fault.verdict == REPRODUCED}
    if again:
        rank, fault = next(iter(again.items()))
        is_common = len(again) == num_ranks and len({one.place() for one in again.values()}) == 1
        return fault if is_common else replace(fault, rank=rank)
    for rank in range(num_ranks):
        if rank not in found:
            return Fault(NOT_REPLAYED, detail="its repetition gave no result", rank=rank)
        if found[rank].verdict == NOT_REPLAYED:
            return replace(found[rank], rank=rank)
    detail = f"the step was finite in all {num_ranks} processes when each repeated its own batches"
    return Fault(VANISHED, detail=detail)


def _decoded(text: str) -> Fault:
    try:
        return from_json(Fault, from_text(text))
    except WireError:
        return Fault(NOT_REPLAYED, detail="the result of its repetition cannot be read")


class ReplayReports:
    """The repetitions of a process other than rank 0, each reported to rank 0 by a thread when it has ended."""

    def __init__(self, words: RankWords) -> None:
        self._words = words
        self._threads: list[threading.Thread] = []

    def add(self, replay: Repetition, point: int) -> None:
        """Report the result of `replay`, also while this process waits for rank 0."""
        thread = threading.Thread(target=self._report, args=(replay, point), name="cockpit-replay", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _report(self, replay: Repetition, point: int) -> None:
        while (fault := replay.result()) is None:
            time.sleep(_POLL_SECONDS)
        with suppress(Exception):  # rank 0 may be gone, and the store with it
            self._words.leave(f"finding {point} {self._words.rank}", to_text(fault))

    def end(self) -> None:
        """Wait a moment for repetitions that have not ended."""
        until = time.monotonic() + _LAST_SECONDS
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.0))

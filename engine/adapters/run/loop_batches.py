"""The batches of an own loop, and the place of the training in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from engine.adapters.run.batches import count_samples, length_of
from engine.adapters.run.state.attachable import Stateful
from engine.adapters.run.state.attached_state import AttachedState, StepPlace
from engine.adapters.run.state.generators import random_states, set_random_states
from engine.adapters.steps.loop_numbers import LoopNumbers
from engine.protocol.record import record

Batch = TypeVar("Batch")


@record
class EpochLoop:
    """What has to be done where a loop begins and ends an epoch, and where it is left in the midst of one."""

    begin: Callable[[], None]
    end: Callable[[], None]
    leave: Callable[[], None]


class LoopBatches:
    """Reads a loader, and keeps the position of the training in it."""

    def __init__(self, live: AttachedState) -> None:
        self._live = live
        self._skip = 0
        self.is_open = False
        """Whether an epoch is being read."""
        self.is_used = False
        """Whether any was read."""
        self.keeps_random = False
        """Whether the generators are kept after each step, for a checkpoint that is written before the next update."""

    @property
    def is_resumed(self) -> bool:
        """Whether the next loop goes on in the epoch of a checkpoint."""
        return self._skip > 0

    def resume(self) -> None:
        """Bring the next loader to the place in the epoch that a checkpoint holds."""
        self._skip = self._live.position.batches

    def settle(self) -> None:
        """Keep the place after a step."""
        position = self._live.position
        random = random_states() if self.keeps_random else None
        position.settled = StepPlace(position.batches, position.state, random)

    def read(self, loader: Iterable[Batch], numbers: LoopNumbers, loop: EpochLoop) -> Generator[Batch]:
        """Yield the batches of the current epoch that are left; while one is read, those of another loader."""
        self.is_used = True
        if is_epoch := not self.is_open:
            loop.begin()
            self.is_open = True
        try:
            batches = self._open(loader) if is_epoch else iter(loader)
            stateful = loader if is_epoch and isinstance(loader, Stateful) else None
            live, clock = self._live, time.perf_counter
            asked_at = clock()
            for batch in batches:
                numbers.wait += clock() - asked_at
                numbers.samples += count_samples(batch)
                live.position.batches += is_epoch
                if stateful is not None and not self._takes_state(stateful):
                    stateful = None
                yield batch
                asked_at = clock()
            if is_epoch:
                loop.end()
        except GeneratorExit:  # `break`, or an error
            loop.leave()
            raise
        finally:
            self.is_open &= not is_epoch

    def _takes_state(self, loader: Stateful) -> bool:
        """Keep the state of the loader. Return whether it has one, as it was built: accelerate's may not."""
        position = self._live.position
        try:
            position.state = loader.state_dict()
        except Exception:  # it has the method only
            position.state = None
        return position.state is not None

    def _open(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """Return an iterator at the place of the current epoch."""
        position = self._live.position
        position.length = length_of(loader)
        skip, self._skip = self._skip, 0
        now = random_states()
        position.settled = StepPlace(skip, position.state, now)
        if skip and position.state is not None and isinstance(loader, Stateful):
            loader.load_state_dict(dict(position.state))
            return iter(loader)
        if skip and position.random is not None:
            set_random_states(position.random)
            batches = iter(loader)
            for _ in range(skip):
                next(batches, None)
            set_random_states(now)
            return batches
        position.batches = 0
        position.random = now
        return iter(loader)

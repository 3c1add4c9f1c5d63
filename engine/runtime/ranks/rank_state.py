"""The live state of one rank: its part of the data, and random numbers that differ between ranks."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Set
from typing import Any, Final

import torch
from torch import nn

from engine.config.tree import RunConfig
from engine.protocol.state import RunState
from engine.runtime.outages.memory import MEMORY_ERRORS, is_out_of_memory
from engine.runtime.ranks.exchange import StepExchange
from engine.runtime.ranks.group import RankGroup
from engine.task import DataGoneError, Splits, Task
from engine.training.averaging import AVERAGED, AVERAGING
from engine.training.data.batch import Batch
from engine.training.data.spans import Shard
from engine.training.train_state import DrawnBatch, TrainState

_LIVE: Final = ("model", "moments", "scaler", "zclip", "rng", "position", AVERAGED, AVERAGING)
"""The parts of a checkpoint that `TrainState.restore` reads."""
_UNUSABLE: Final = 2
"""Vote of a rank that has no batch."""


class VoidedError(Exception):
    """Raised if another rank has no part in the step that is being drawn."""


class RankState(TrainState):
    """The live state of a rank. Every rank draws its slice of each batch of the whole training."""

    def __init__(
        self, group: RankGroup, task: Task, config: RunConfig, model: nn.Module, splits: Splits, state: RunState
    ):
        super().__init__(task, config, model, splits, state, Shard(group.rank, group.world))
        self.group = group
        self._start = self.position
        self._is_restored: Callable[[Mapping[str, Any]], None] = lambda _: None
        self._votes = False

    def exchange_with(self, status: Callable[[], int]) -> StepExchange:
        """Connect the steps of this rank with those of the others; `status` is what this rank says at each step."""
        self.exchange = StepExchange(self.group, self.model, status)
        self.train_step.ranks = self.exchange
        return self.exchange

    def on_restore(self, listener: Callable[[Mapping[str, Any]], None]) -> None:
        """Call `listener` with each checkpoint before it is restored."""
        self._is_restored = listener

    def restore(self, payload: Mapping[str, Any], state: RunState) -> None:
        """Restore the result of `snapshot`, in all ranks."""
        self._is_restored(payload)
        super().restore(payload, state)

    def draw(
        self, accumulation: int, *, excluded: Set[str] = frozenset(), give_up: Callable[[], bool] = lambda: False
    ) -> DrawnBatch | None:
        """Draw like `TrainState.draw`. Return `None` also if another rank cannot draw its part."""
        self._start = self.position
        self.group.pulse.doing, self.train_step.part = "reading a batch", ""
        self.exchange.begin()
        self._votes = bool(excluded)
        try:
            drawn = super().draw(accumulation, excluded=excluded, give_up=give_up)
        except VoidedError:
            self.put_back(self._start, again=True)
            return None
        except DataGoneError:
            self._vote_unusable()
            raise
        except MEMORY_ERRORS as error:
            if is_out_of_memory(error):
                self.put_back(self._start, again=True)
                self._vote_unusable()
            raise
        if drawn is None:
            self._vote_unusable()
        else:
            self.exchange.note_wait(sum(batch.wait_seconds for batch in drawn.batches))
        self.group.pulse.doing = "in forward and backward"
        return drawn

    def is_excluded(self, batch: Batch, excluded: Set[str]) -> bool:
        """Return whether a batch holds an excluded sample on any rank. Raises VoidedError if a rank has no batch."""
        if not excluded:
            return False
        vote = self.group.most(int(super().is_excluded(batch, excluded)))
        if vote == _UNUSABLE:
            raise VoidedError
        return bool(vote)

    def refuse_draw(self, excluded: Set[str]) -> None:
        """Have no batch in the draw that the other ranks have begun."""
        self._votes = bool(excluded)
        self._vote_unusable()

    def _vote_unusable(self) -> None:
        if self._votes:
            self.group.most(_UNUSABLE)

    def undo_step(self) -> None:
        """Return to the position before the last draw, without gradients. The next draw returns the same batches."""
        self.train_step.optimizer.zero_grad(set_to_none=True)
        self.exchange.undo()
        self.put_back(self._start)


def pack(payload: Mapping[str, Any]) -> bytes:
    """Return what another rank needs of a checkpoint."""
    buffer = io.BytesIO()
    torch.save({name: payload.get(name) for name in _LIVE}, buffer)
    return buffer.getvalue()


def unpack(packed: bytes) -> dict[str, Any]:
    """Return the result of `pack`, with tensors on the CPU."""
    return torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed the generators of a rank for one step, so that a resume and a rollback draw the same numbers again."""
    torch.manual_seed(((seed * 1_000_003 + step) * 65_537 + rank) % 2**63)

"""Checkpoints of an own loop in several processes: rank 0 writes and restores them, with what each has for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.adapters.ranks.agreement import SideGroup
from engine.adapters.ranks.own_parts import packed_part, restore_as, unpacked_part
from engine.adapters.ranks.rank_words import RankWords
from engine.adapters.run.state.attached_state import AttachedState

_PART_SECONDS: Final = 20.0
"""Seconds for which a checkpoint waits for the part of another process."""


class SharedCheckpoints:
    """The checkpoints of one training, from one of its processes."""

    def __init__(self, words: RankWords, group: SideGroup) -> None:
        self._words = words
        self._group = group
        self._point = self._point_step = -1
        self._restored: Mapping[str, Any] | None = None

    @property
    def is_restored(self) -> bool:
        """Whether rank 0 has restored one that the others have not got yet."""
        return self._restored is not None

    def pass_point(self, live: AttachedState, step: int) -> None:
        """Note a place at which all processes are after `step` steps, and leave there what a checkpoint has of each."""
        self._point, self._point_step = self._point + 1, step
        if not self._words.is_first:
            self._words.leave_part(self._point, packed_part(live))

    def parts(self, step: int) -> Mapping[int, Mapping[str, Any]]:
        """Return, in rank 0, the parts of the other processes after `step` steps, as far as they have left them.

        After a rollback the generators are those of its checkpoint, and the places in the data are those of now.
        """
        are_left = self._restored is not None or step == self._point_step
        found: dict[int, Mapping[str, Any]] = {
            rank: unpacked_part(packed)
            for rank in (range(1, self._words.num_ranks) if are_left else ())
            if (packed := self._words.part_of(self._point, rank, _PART_SECONDS))
        }
        if self._restored is None:
            return found
        restored: Mapping[int, Mapping[str, Any]] = self._restored.get("ranks", {})
        return {rank: {**part, "rng": restored[rank]["rng"]} for rank, part in found.items() if rank in restored}

    def note_restored(self, payload: Mapping[str, Any]) -> None:
        """Note, in rank 0, the checkpoint that it has restored."""
        self._restored = payload

    def share_restored(self) -> None:
        """Give the checkpoint that rank 0 has restored to the others."""
        if (payload := self._restored) is not None:
            self._restored = None
            self._group.share(payload)

    def restore(self, live: AttachedState) -> Mapping[str, Any]:
        """Restore, in another rank, the checkpoint that rank 0 gives, and return it."""
        payload: Mapping[str, Any] = self._group.share()
        restore_as(live, self._words.rank, payload)
        return payload

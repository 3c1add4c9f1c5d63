"""The checkpoints that should exist: the basis of the report of deleted ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.training.checkpoint.writer import Written


class Inventory:
    """Names of the checkpoints that existed last, and of those lost since the last check.

    The newest `keep_last` are never pruned.
    """

    def __init__(self, keep_last: int) -> None:
        self._keep_last = keep_last
        self._known: set[str] = set()
        self._lost: set[str] = set()

    def note(self, written: Written) -> None:
        """Compare with the checkpoints that existed after `written`.

        Names after it are left out: `check` may have seen them already, although they were written later. If the
        directory had to be created, all earlier ones are lost, also those that were pruned otherwise. If it could not
        be listed, the earlier ones still count.
        """
        later = {name for name in self._known if name > written.name}
        earlier = self._known - later
        new = set[str]() if written.error else {written.name}
        left = earlier | new if written.left is None else set(written.left)
        self._lost |= earlier - {written.name} if written.made_directory else self._missing(earlier, sorted(left))
        self._known = later | left

    def is_complete(self, left: Sequence[str], *, also: Iterable[str] = ()) -> bool:
        """Return whether none was deleted, if those that are `left` and `also` are as in `check`."""
        return not (self._lost | self._missing(self._known.union(also), left)).difference(left)

    def check(self, left: Sequence[str], *, also: Iterable[str] = ()) -> list[str]:
        """Return the names of deleted checkpoints, oldest first, and begin again with those that are `left`.

        `also` are further names that should exist.
        """
        lost = self._lost | self._missing(self._known.union(also), left)
        self._known, self._lost = set(left), set()
        return sorted(lost.difference(left))

    def _missing(self, known: Iterable[str], left: Sequence[str]) -> set[str]:
        return set(lost_checkpoints(sorted(known), left, self._keep_last))


def lost_checkpoints(known: Sequence[str], left: Sequence[str], keep_last: int) -> tuple[str, ...]:
    """Return the known checkpoints that were deleted, not pruned: fewer than `keep_last` newer ones exist."""
    return tuple(name for name in known if name not in left and sum(newer > name for newer in left) < keep_last)

"""Choose the validation images of a data set without a validation split: one in five."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Final, Literal

HoldOut = Literal["by_hash", "in_order"]
"""Hold out the fifth with the smallest name hashes, or every fifth image in name order."""

VALIDATION_EVERY: Final = 5
"""One image in this many is held out: one of fewer images, none of a single image."""


def held_out(names: Iterable[str], rule: HoldOut = "by_hash") -> frozenset[str]:
    """Return the `names` that belong to the validation split.

    With hashes, a new image moves few others, and a.jpg and a.png are in the same split. Older runs used the order.
    """
    if rule == "in_order":
        ordered = sorted(set(names))
        turn = min(VALIDATION_EVERY, max(len(ordered), 2))
        return frozenset(ordered[turn - 1 :: turn])
    return held_out_share(names, 1 / VALIDATION_EVERY)


def held_out_share(names: Iterable[str], share: float) -> frozenset[str]:
    """Return the given share of the `names`, rounded down: those with the smallest hashes.

    At least one is held out, and at least one is not.
    """
    keys = {name: _key(name) for name in names}
    distinct = list(set(keys.values()))
    count = min(max(math.floor(len(distinct) * share + 1e-9), 1), len(distinct) - 1)
    chosen = set(_smallest(distinct, max(count, 0)))
    return frozenset(name for name, key in keys.items() if key in chosen)


def _smallest(keys: Sequence[str], count: int) -> list[str]:
    return sorted(keys, key=lambda key: hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest())[:count]


def _key(name: str) -> str:
    """Return the name without suffix, in the same form on every file system and operating system."""
    path = PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/"))
    return str(path.with_suffix("") if path.suffix else path).casefold()

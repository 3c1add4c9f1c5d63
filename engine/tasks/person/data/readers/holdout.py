"""Which images of a data set without a validation split of its own are held out: one in five."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Final, Literal

HoldOut = Literal["by_hash", "in_order"]
"""The fifth with the smallest hashes of their names, or each fifth in the order of names."""

VALIDATION_EVERY: Final = 5
"""One image in so many is held out; of fewer images one, of a single image none."""


def held_out(names: Iterable[str], rule: HoldOut = "by_hash") -> frozenset[str]:
    """Return the `names` that belong to the validation split.

    By hash, an added image moves few others, and a.jpg and a.png are never apart; order was the rule of older runs.
    """
    if rule == "in_order":
        ordered = sorted(set(names))
        turn = min(VALIDATION_EVERY, max(len(ordered), 2))
        return frozenset(ordered[turn - 1 :: turn])
    keys = {name: _key(name) for name in names}
    chosen = set(_smallest(list(set(keys.values()))))
    return frozenset(name for name, key in keys.items() if key in chosen)


def _smallest(keys: Sequence[str]) -> list[str]:
    count = max(len(keys) // VALIDATION_EVERY, 1) if len(keys) > 1 else 0
    return sorted(keys, key=lambda key: hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest())[:count]


def _key(name: str) -> str:
    """The name without its suffix, as every file system and operating system would write it."""
    path = PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/"))
    return str(path.with_suffix("") if path.suffix else path).casefold()

"""The spellings of an image's name in annotations and in file systems."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

_UPLOAD_HASH: Final = re.compile(r"[0-9a-f]{8}-(?=.)")
"""The prefix that Label Studio adds to the name of an uploaded file."""


def fold(name: str) -> str:
    """Return a name without differences between file systems: case, and composed accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def spellings(name: str) -> Iterator[str]:
    """Return the paths that a name may refer to, after resolving back slashes, URLs, escapes and upload hashes."""
    seen: set[str] = set()
    for spelling in _rewrite(name):
        path = spelling.replace("\\", "/").strip().strip("/")
        if path and path not in seen and "\0" not in path:
            seen.add(path)
            yield path


def num_equal(one: Iterable[str], other: Iterable[str]) -> int:
    """Return how many items at the beginning of both are equal."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def base_name(name: str) -> str:
    """Return the file name at the end of a path of any operating system or of a URL."""
    path, _, query = name.partition("?")
    return PurePosixPath(next(spellings(_address(name) if "d=" in query else path), name)).name


def plain_name(base: str) -> str:
    """Return a file name without escapes, upload hash and spaces, which Label Studio replaces by underscores."""
    return fold(_UPLOAD_HASH.sub("", unquote(base), count=1)).replace(" ", "_")


def _rewrite(name: str) -> Iterator[str]:
    yield name
    address = _address(name)
    yield address
    yield unquote(name)
    yield unquote(address)
    folder, _, base = unquote(address).replace("\\", "/").rpartition("/")
    yield f"{folder}/{_UPLOAD_HASH.sub('', base, count=1)}"


def _address(name: str) -> str:
    """Return the path in a URL; for Label Studio's local files, the path in its query."""
    try:
        parts = urlsplit(name)
    except ValueError:
        return name
    query = parse_qs(parts.query).get("d") if parts.query else None
    return query[0] if query else parts.path or name

"""Which files of a folder are images: what operating systems leave beside them is passed over."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""What image files end in, in any case."""

MASK_SUFFIXES: Final = (".png", ".bmp", ".tif", ".tiff", ".gif", ".pgm", ".webp", ".jpg", ".jpeg")
"""What mask files end in; the first are preferred."""

_JUNK: Final = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found")


def is_junk(name: str) -> bool:
    """Whether a file or folder is an operating system's own: hidden ones, resource forks, thumbnails."""
    return name.startswith(".") or name.casefold() in _JUNK


def image_files(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[str]:
    """The images in a folder and the folders below it, as sorted relative paths; links are followed, once each."""
    return sorted(name for name in _walk(folder) if name.lower().endswith(suffixes))


def plain_name(name: str) -> str:
    """A name as it is compared: whatever its case and its way of composing accents."""
    return unicodedata.normalize("NFC", name).casefold()


def child(folder: Path, *names: str) -> Path | None:
    """The folder in `folder` that has the first of `names` that there is, in any case."""
    try:
        found = {plain_name(entry.name): Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()}
    except OSError:
        return None
    return next((found[plain_name(name)] for name in names if plain_name(name) in found), None)


def _walk(folder: Path) -> Iterator[str]:
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_junk(name))
        below = os.path.relpath(root, folder)
        yield from (name if below == "." else f"{below}/{name}" for name in files if not is_junk(name))

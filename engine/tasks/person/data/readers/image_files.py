"""Find the image files of a folder, without the files that operating systems add."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""Suffixes of image files, case-insensitive."""

MASK_SUFFIXES: Final = (".png", ".bmp", ".tif", ".tiff", ".gif", ".pgm", ".webp", ".jpg", ".jpeg")
"""Suffixes of mask files, case-insensitive, in order of preference."""

_JUNK: Final = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found")


def is_junk(name: str) -> bool:
    """Return whether a file or folder belongs to the operating system: hidden, resource fork or thumbnails."""
    return name.startswith(".") or name.casefold() in _JUNK


def image_files(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[str]:
    """Return the images in a folder and its subfolders as sorted relative paths. Links are followed once each."""
    return sorted(name for name in _walk(folder) if name.lower().endswith(suffixes))


def plain_name(name: str) -> str:
    """Return a name for comparison, independent of case and of composed accents."""
    return unicodedata.normalize("NFC", name).casefold()


def child(folder: Path, *names: str) -> Path | None:
    """Return the subfolder with the first existing one of `names`, case-insensitive, or `None`."""
    try:
        found = {plain_name(entry.name): Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()}
    except OSError:
        return None
    return next((found[plain_name(name)] for name in names if plain_name(name) in found), None)


def subfolders(folder: Path) -> list[Path]:
    """Return the subfolders of a folder, sorted; an empty list if it cannot be read."""
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and not is_junk(entry.name))
    except OSError:
        return []


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

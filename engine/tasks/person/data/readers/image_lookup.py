"""Find the image files that annotations name, in every folder and under any spelling of the name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from engine.task import UnusableSample
from engine.tasks.person.data.readers.coco.values import shown
from engine.tasks.person.data.readers.spellings import fold, num_equal, plain_name, spellings

IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jfif", ".ppm")

_SAME_FORMAT: Final = {".jpg": ".jpeg", ".jpeg": ".jpg", ".tif": ".tiff", ".tiff": ".tif"}
"""Two suffixes of one format, of which annotations may have the other."""

MAX_FILES: Final = 2_000_000
MAX_DEPTH: Final = 6
"""Maximum depth of the search below the data's root."""

_NO_IMAGES: Final = re.compile(r"(?i)\..*|__macosx|.*mask.*|segmentation.*|labels?|annotations?")


class ImageFinder:
    """The images below `root`. Names are looked up unchanged in `folders` first, then everywhere in any spelling."""

    def __init__(self, root: Path, folders: Sequence[Path]) -> None:
        self._root = root
        self._folders = list(dict.fromkeys(folders))
        self._listings: dict[Path, frozenset[str]] = {}
        self._tree: dict[str, list[Path]] | None = None
        self._by_plain_name: dict[str, list[Path]] | None = None

    def prefer(self, names: Sequence[str]) -> None:
        """Search the folder with most of `names` first."""
        self._folders.sort(key=lambda folder: -sum(self._is_in(folder, name) for name in names))

    def find(self, name: str) -> Path:
        """Return the file that `name` refers to. Raises UnusableSample if there is none, or more than one."""
        folder = next((folder for folder in self._folders if self._is_in(folder, name)), None)
        if folder is not None:
            return folder / name
        if os.path.isabs(name) and os.path.isfile(name):
            return Path(name)
        paths = [PurePosixPath(spelling) for spelling in spellings(name)]
        matches = (found for match in (self._match, self._match_plainly) for path in paths if (found := match(path)))
        if found := next(matches, None):
            return self._choose(found)
        raise UnusableSample(self._missing(paths))

    def _is_in(self, folder: Path, name: str) -> bool:
        parent, _, base = name.rpartition("/")
        return base in self._list(folder / parent if parent else folder)

    def _list(self, folder: Path) -> frozenset[str]:
        """Return the names of the files in a folder, read once."""
        if folder not in self._listings:
            self._listings[folder] = _names_in(folder)
        return self._listings[folder]

    def _match(self, wanted: PurePosixPath) -> list[Path]:
        """Return the files with the longest common path ending with `wanted`.

        Without a suffix, a name matches every image suffix; .jpg matches .jpeg too, and .tif matches .tiff.
        """
        if self._tree is None:
            self._tree = _read_tree(self._root)
        parts = [fold(part) for part in wanted.parts]
        found = self._tree.get(parts[-1], []) if parts else []
        suffix = PurePosixPath(parts[-1]).suffix if parts else ""
        if not found and parts and suffix not in IMAGE_SUFFIXES:
            found = self._of_stem(parts[-1])
        if not found and suffix in _SAME_FORMAT:
            found = self._tree.get(parts[-1].removesuffix(suffix) + _SAME_FORMAT[suffix], [])
        found = [file for file in found if file.name == wanted.name] or found
        likeness = [_num_equal_folders(file, parts) for file in found]
        return [file for file, equal in zip(found, likeness, strict=True) if equal == max(likeness)]

    def _match_plainly(self, wanted: PurePosixPath) -> list[Path]:
        """Return the files of the same plain name: the files too may have escapes and upload hashes in their names."""
        if self._by_plain_name is None:
            self._by_plain_name = _by_plain_name(file for files in (self._tree or {}).values() for file in files)
        return self._by_plain_name.get(plain_name(wanted.name), [])

    def _choose(self, found: list[Path]) -> Path:
        """Return the file in the most likely known folder, or the only file."""
        ranks = [self._folders.index(file.parent) if file.parent in self._folders else None for file in found]
        known = sorted(rank for rank in ranks if rank is not None)
        best = known[0] if known else None
        chosen = [file for file, rank in zip(found, ranks, strict=True) if rank == best]
        if len(chosen) > 1:
            places = ", ".join(shown(self._shown(file)) for file in sorted(chosen)[:3])
            raise UnusableSample(f"the image file is ambiguous, there are {len(chosen)}: {places}")
        return chosen[0]

    def _of_stem(self, stem: str) -> list[Path]:
        """Return the images with a folded stem and any suffix."""
        return [file for suffix in IMAGE_SUFFIXES for file in (self._tree or {}).get(stem + suffix, [])]

    def _missing(self, paths: Sequence[PurePosixPath]) -> str:
        """Return the reason for a missing file: the places, and the file of the same name in another format."""
        others = [file for path in paths for file in self._of_stem(fold(path.stem))]
        other = f"; there is {shown(self._shown(others[0]))}, in another format" if others else ""
        places = [self._shown(folder) for folder in self._folders if folder.is_dir()]
        looked = ", ".join(f"{place}/" for place in dict.fromkeys(places) if place != ".")
        looked = f"{looked} and " if looked else ""
        return f"the image file is missing (looked for in {looked}all folders of the data{other})"

    def _shown(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else path.as_posix()


def _names_in(folder: Path) -> frozenset[str]:
    """Return the names of the files in a folder; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except (OSError, ValueError):
        return frozenset()


def _by_plain_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(plain_name(file.name), []).append(file)
    return found


def _num_equal_folders(file: Path, parts: Sequence[str]) -> int:
    """Return how many folders above the file match `parts`, counted from the file upwards."""
    return num_equal(map(fold, reversed(file.parts[:-1])), reversed(parts[:-1]))


def walk_folders(root: Path, depth: int, passed_over: re.Pattern[str]) -> Iterator[tuple[Path, list[str]]]:
    """Yield every folder from `root` down to `depth` with the names of its files. Links are followed once each."""
    seen: set[str] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        is_end = real in seen or len(Path(folder).relative_to(root).parts) >= depth
        subfolders[:] = [] if is_end else sorted(name for name in subfolders if not passed_over.fullmatch(name))
        if real not in seen:
            seen.add(real)
            yield Path(folder), files


def _read_tree(root: Path) -> dict[str, list[Path]]:
    """Return every image below `root` by its folded name, without hidden files, resource forks and mask folders."""
    tree: dict[str, list[Path]] = {}
    num_files = 0
    for folder, files in walk_folders(root, MAX_DEPTH, _NO_IMAGES):
        images = [name for name in files if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)]
        for name in images:
            tree.setdefault(fold(name), []).append(folder / name)
        num_files += len(images)
        if num_files > MAX_FILES:
            break
    return tree

"""A person's labels of a run: its note, its tags and its former names, in a small file that moves with the run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

from engine.errors import UserError
from engine.journal.disk.plain_files import check_plain_file
from engine.protocol.record import record

LABELS_FILE: Final = "labels.json"
MAX_NOTE: Final = 500
MAX_TAG: Final = 40

_MAX_BYTES: Final = 65_536
"""Largest file that is read: a longer one was not written by this module."""


@record
class Labels:
    """The labels of one run; `formerly` are the names that it had before it was renamed, oldest first."""

    note: str = ""
    tags: tuple[str, ...] = ()
    formerly: tuple[str, ...] = ()


def read_labels(path: Path) -> Labels:
    """Return the labels of the run at `path`; empty ones if there are none, or if the file cannot be understood."""
    try:
        with (path / LABELS_FILE).open("rb") as file:
            found: object = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return Labels()
    if not isinstance(found, dict):
        return Labels()
    held = cast(Mapping[str, object], found)
    note = held.get("note")
    return Labels(note if isinstance(note, str) else "", _texts(held.get("tags")), _texts(held.get("formerly")))


def write_labels(path: Path, labels: Labels) -> None:
    """Replace the labels of the run at `path`; empty ones need no file. Raises UserError if that fails."""
    file = path / LABELS_FILE
    check_plain_file(file)
    try:
        if labels == Labels():
            file.unlink(missing_ok=True)
        else:
            _replace(file, {"note": labels.note, "tags": [*labels.tags], "formerly": [*labels.formerly]})
    except OSError as error:
        raise UserError(f"cannot write the labels of the run {path}: {error.strerror}") from error


def set_note(path: Path, text: str) -> None:
    """Give the run at `path` a note in place of the former one; an empty text removes it. Raises UserError."""
    note = " ".join(text.split())
    if len(note) > MAX_NOTE:
        raise UserError(f"a note has at most {MAX_NOTE} characters, not {len(note)}")
    if not note.isprintable():
        raise UserError("a note has printable characters only")
    write_labels(path, replace(read_labels(path), note=note))


def change_tags(path: Path, words: Iterable[str]) -> tuple[str, ...]:
    """Add and remove tags of the run at `path`, and return its tags: `+base` and `base` add one, `-base` removes it.

    Raises UserError for a word that cannot be a tag, or a tag to remove that the run does not have.
    """
    labels = read_labels(path)
    tags = list(labels.tags)
    for word in words:
        tag = word[1:] if word[:1] in ("+", "-") else word
        _check_tag(tag)
        if not word.startswith("-"):
            tags += [] if tag in tags else [tag]
        elif tag in tags:
            tags.remove(tag)
        else:
            raise UserError(f"the run {path.name!r} has no tag {tag!r}: it has {', '.join(tags) or 'none'}")
    write_labels(path, replace(labels, tags=tuple(tags)))
    return tuple(tags)


def set_tags(path: Path, tags: Iterable[str]) -> None:
    """Give the run at `path` these tags in place of the former ones. Raises UserError for a word that is no tag."""
    wanted = tuple(dict.fromkeys(tags))
    for tag in wanted:
        _check_tag(tag)
    write_labels(path, replace(read_labels(path), tags=wanted))


def with_former_name(labels: Labels, former: str, name: str) -> Labels:
    """Return the labels of a run that was called `former` and is called `name` now."""
    kept = [known for known in labels.formerly if known not in (former, name)]
    return replace(labels, formerly=(*kept, former))


def _check_tag(tag: str) -> None:
    is_word = bool(tag) and tag.isprintable() and not any(letter.isspace() or letter == "," for letter in tag)
    if not is_word or len(tag) > MAX_TAG or tag[0] in "+-":
        raise UserError(
            f"{tag!r} cannot be a tag: use up to {MAX_TAG} printable characters without blanks and commas,"
            " and no sign in front"
        )


def _texts(value: object) -> tuple[str, ...]:
    items = cast(list[object], value) if isinstance(value, list) else []
    return tuple(item for item in items if isinstance(item, str))


def _replace(file: Path, content: Mapping[str, object]) -> None:
    """Write a new file and put it in the place of `file`, with the permissions of the directory's other files."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as written:
            written.write(json.dumps(content) + "\n")
            os.fchmod(written.fileno(), 0o600 | (file.parent.stat().st_mode & 0o044))
        partial.replace(file)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise

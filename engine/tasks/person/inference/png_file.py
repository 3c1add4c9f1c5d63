"""Write PNG files quickly: masks with run lengths alone, photographs uncompressed.

Photographs have few repetitions. To store one takes a tenth of the time of Huffman codes, which would save a third of
the file. On a busy processor the network would wait for them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from engine.outputs.inference.whole_file import write_whole

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2
_UNFILTERED: Final = b"\0"
_MEMORY: Final = 9
"""zlib's largest blocks."""
_ZLIB_HEAD: Final = b"\x78\x01"
_MOST_STORED: Final = 0xFFFF
"""Bytes of a block that is not compressed."""

Piece = bytes | memoryview


def write_png(file: Path, image: Image.Image) -> None:
    """Write a grey (L) or RGB image to a temporary file and rename it. Raises OSError."""
    write_whole(file, png_bytes(image))


def png_bytes(image: Image.Image) -> bytes:
    """Return a grey (L) or RGB image as a PNG file."""
    is_grey = image.mode == "L"
    line = image.width * len(image.getbands()) + 1  # Pillow pads each line by a zero, the filter of the next one
    pixels = memoryview(image.tobytes("raw", image.mode, line))[:-1]
    header = struct.pack(">IIBBBBB", *image.size, 8, _GREY if is_grey else _RGB, 0, 0, 0)
    packed = _packed(pixels) if is_grey else list(_stored(pixels))
    chunks = (_chunk(b"IHDR", [header]), _chunk(b"IDAT", packed), _chunk(b"IEND", []))
    return b"".join((_SIGNATURE, *(piece for chunk in chunks for piece in chunk)))


def _packed(pixels: memoryview) -> list[Piece]:
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, _MEMORY, zlib.Z_RLE)
    return [packer.compress(_UNFILTERED), packer.compress(pixels), packer.flush()]


def _stored(pixels: memoryview) -> Iterator[Piece]:
    """Yield zlib's format without a copy of the pixels: the first filter, blocks of pixels, the checksum."""
    yield _ZLIB_HEAD + struct.pack("<BHH", 0, 1, 0xFFFE) + _UNFILTERED
    for start in range(0, len(pixels), _MOST_STORED):
        block = pixels[start : start + _MOST_STORED]
        is_last = start + len(block) == len(pixels)
        yield struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF)
        yield block
    yield struct.pack(">I", zlib.adler32(pixels, zlib.adler32(_UNFILTERED)))


def _chunk(kind: bytes, content: Sequence[Piece]) -> Iterator[Piece]:
    checksum = zlib.crc32(kind)
    for piece in content:
        checksum = zlib.crc32(piece, checksum)
    yield struct.pack(">I", sum(map(len, content))) + kind
    yield from content
    yield struct.pack(">I", checksum)

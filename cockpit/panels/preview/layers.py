"""Validation pictures as layers to look at: the image, the classes over it, the errors, the heads of the network.

H x W pixels; RGB 0..255.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.outputs.preview_file import Preview

Rgb = NDArray[np.uint8]
Bytes = NDArray[np.uint8]

CLASS_COLOURS: Final = np.array([[0, 0, 0], [230, 159, 0], [86, 180, 233]], dtype=np.uint8)
"""Background, target and other in the Okabe-Ito palette, told apart under every common colour blindness."""
CLASS_LETTERS: Final = ".To"
MISSED, INVENTED, CONFUSED = 1, 2, 3
ERROR_COLOURS: Final = np.array([[0, 0, 0], [213, 94, 0], [204, 121, 167], [240, 228, 66]], dtype=np.uint8)
"""Nothing wrong; a person's pixel taken for background; background taken for a person; the wrong person."""
ERROR_LETTERS: Final = ".-+x"
_RAMP: Final = " .:-=+*#%@"
_OUTSIDE: Final = np.array([86, 180, 233], dtype=np.float32)
_INSIDE: Final = np.array([230, 159, 0], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Layer:
    """One way to look at a region: its name, its picture, and the letters that stand for it without colour (H x W)."""

    name: str
    picture_HWC: Rgb
    letters_HW: NDArray[np.str_]


def layers_of(preview: Preview) -> tuple[Layer, ...]:
    """Every layer that the region has, the most telling first."""
    size = _size(preview)
    image_HWC = nearest(preview.image_HWC, size)
    label_HW, predicted_HW = nearest(preview.label_HW, size), nearest(preview.predicted_HW, size)
    error_HW = errors(label_HW, predicted_HW)
    layers = [
        Layer("predicted", _painted(image_HWC, predicted_HW, CLASS_COLOURS), _letters(predicted_HW, CLASS_LETTERS)),
        Layer("truth", _painted(image_HWC, label_HW, CLASS_COLOURS), _letters(label_HW, CLASS_LETTERS)),
        Layer("error", _painted(_faint(image_HWC), error_HW, ERROR_COLOURS), _letters(error_HW, ERROR_LETTERS)),
        Layer("image", image_HWC, _letters(_grey(image_HWC) // 26, _RAMP)),
    ]
    heads: tuple[tuple[str, Bytes | None, Callable[[Rgb, Bytes], Rgb]], ...] = (
        ("outline", preview.contour_HW, _lit),
        ("distance", preview.distance_HW, _diverging),
    )
    for name, head_HW, painted in heads:
        if head_HW is not None:
            values_HW = nearest(head_HW, size)
            layers.append(Layer(name, painted(image_HWC, values_HW), _letters(values_HW // 26, _RAMP)))
    return tuple(layers)


def errors(label_HW: Bytes, predicted_HW: Bytes) -> Bytes:
    """What is wrong with each pixel: 0 nothing, else MISSED, INVENTED or CONFUSED."""
    wrong_HW = label_HW != predicted_HW
    kinds_HW = np.where(predicted_HW == 0, MISSED, np.where(label_HW == 0, INVENTED, CONFUSED))
    return np.where(wrong_HW, kinds_HW, 0).astype(np.uint8)


def _size(preview: Preview) -> tuple[int, int]:
    """The finer of image and mask, height and width."""
    return max(preview.image_HWC.shape[:2], preview.label_HW.shape)  # both are squares or both have one aspect


def nearest(values: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """`values` (H, W or H, W, C) at another size, each pixel a copy of the nearest one."""
    height, width = size
    rows = np.arange(height) * values.shape[0] // max(height, 1)
    columns = np.arange(width) * values.shape[1] // max(width, 1)
    return values[rows[:, None], columns]


def scaled(picture_HWC: Rgb, size: tuple[int, int]) -> Rgb:
    """The picture at another size, each new pixel the mean of what it covers."""
    height, width = size
    rows_HWC = _averaged(picture_HWC.astype(np.float32), height)
    return _averaged(rows_HWC.swapaxes(0, 1), width).swapaxes(0, 1).round().clip(0, 255).astype(np.uint8)


def _averaged(values_LKC: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Means over `count` equal stretches of the first axis, fractions of a pixel counted."""
    length = len(values_LKC)
    sums = np.concatenate([np.zeros_like(values_LKC[:1]), np.cumsum(values_LKC, axis=0)])
    edges = np.linspace(0, length, count + 1)
    below = np.minimum(edges.astype(np.intp), length - 1)
    share = (edges - below).astype(np.float32).reshape(-1, 1, 1)
    at_edges = sums[below] * (1 - share) + sums[below + 1] * share
    return ((at_edges[1:] - at_edges[:-1]) * (count / length)).astype(np.float32)


def _letters(values_HW: Bytes, alphabet: str) -> NDArray[np.str_]:
    return np.array(list(alphabet))[np.minimum(values_HW, len(alphabet) - 1)]


def _grey(image_HWC: Rgb) -> Bytes:
    return (image_HWC @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def _faint(image_HWC: Rgb) -> Rgb:
    """A dark grey copy that coloured pixels stand out from."""
    return np.repeat((_grey(image_HWC) // 2)[..., None], 3, axis=2)


def _painted(image_HWC: Rgb, classes_HW: Bytes, colours: Rgb) -> Rgb:
    """Classes half transparent over the image, their borders in full colour; class 0 leaves the image as it is."""
    edge_HW = np.zeros(classes_HW.shape, np.bool_)
    edge_HW[:, 1:] |= classes_HW[:, 1:] != classes_HW[:, :-1]
    edge_HW[1:, :] |= classes_HW[1:, :] != classes_HW[:-1, :]
    colour_HWC = colours[classes_HW]
    blended = ((image_HWC.astype(np.uint16) + colour_HWC) // 2).astype(np.uint8)
    covered = np.where(edge_HW[..., None], colour_HWC, blended)
    return np.where(classes_HW[..., None] > 0, covered, image_HWC)


def _lit(image_HWC: Rgb, values_HW: Bytes) -> Rgb:
    """The image in faint grey, lit where the head sees an outline."""
    share = values_HW[..., None].astype(np.float32) / 255
    return (_faint(image_HWC) * (1 - share) + np.array([255, 255, 255], np.float32) * share).astype(np.uint8)


def _diverging(image_HWC: Rgb, values_HW: Bytes) -> Rgb:
    """Outside in one colour, inside in another, the stronger the farther; the outline itself is white."""
    share = (values_HW[..., None].astype(np.float32) - 128) / 127
    colour = np.where(share > 0, _INSIDE, _OUTSIDE)
    return (255 - (255 - colour) * np.abs(share).clip(0, 1)).astype(np.uint8)

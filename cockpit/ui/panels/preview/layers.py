"""Validation pictures as layers: an image, and classes, errors, shares and distances over it.

All have H x W pixels; RGB is 0..255.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.outputs.preview_file import MAX_CLASSES, PREDICTED, TRUTH, Plane, Preview
from engine.protocol.record import record

Rgb = NDArray[np.uint8]
Bytes = NDArray[np.uint8]

_MORE_COLOURS: Final = ("#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")
"""Colours of classes without a colour of the task."""
FALSE_NEGATIVE, FALSE_POSITIVE, WRONG_CLASS = 1, 2, 3
ERROR_COLOURS: Final = np.array([[0, 0, 0], [213, 94, 0], [204, 121, 167], [240, 228, 66]], dtype=np.uint8)
"""Colours of: no error, false negative (background predicted), false positive (on background), wrong class."""
ERROR_LETTERS: Final = ".-+x"
_RAMP: Final = " .:-=+*#%@"
_BELOW: Final = np.array([86, 180, 233], dtype=np.float32)
_ABOVE: Final = np.array([230, 159, 0], dtype=np.float32)


@record
class Layer:
    """One layer of a sample: its name, its picture, and its letters for terminals without colour (H x W)."""

    name: str
    picture_HWC: Rgb
    letters_HW: NDArray[np.str_]


@record
class Palette:
    """Name, colour and letter of each class; numbers beyond the task's classes have no name."""

    names: tuple[str, ...]
    colours: Rgb
    letters: str


def palette_of(classes: Sequence[tuple[str, str]]) -> Palette:
    """Return the palette of a task's classes (name and #rrggbb), the first of which is the background."""
    colours = [colour for _, colour in classes]
    while len(colours) < MAX_CLASSES:
        colours.append(_MORE_COLOURS[len(colours) % len(_MORE_COLOURS)])
    table = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours], dtype=np.uint8)
    names = tuple(name for name, _ in classes)
    return Palette(names, table, _class_letters(names))


def _class_letters(names: Sequence[str]) -> str:
    """Return a point for the first class, and for each other the first unused letter of its name."""
    letters = "."
    for name in names[1:]:
        free = (letter for letter in (*name.upper(), *"0123456789#") if letter not in letters and letter.isprintable())
        letters += next(free, "?")
    return letters + "#" * (MAX_CLASSES - len(letters))


def layers_of(preview: Preview, palette: Palette) -> tuple[Layer, ...]:
    """Return every layer of a sample in the order of its planes; the errors follow prediction and truth."""
    size = _size(preview)
    image = next((plane.values for plane in preview.planes if plane.kind == "rgb"), None)
    image_HWC = np.zeros((*size, 3), np.uint8) if image is None else nearest(image, size)
    layers = [layer_of(plane, image_HWC, palette) for plane in preview.planes]
    truth_HW, predicted_HW = preview.plane(TRUTH, "classes"), preview.plane(PREDICTED, "classes")
    if truth_HW is not None and predicted_HW is not None:
        wrong_HW = nearest(errors(truth_HW, predicted_HW), size)
        error = Layer("error", _painted(_faint(image_HWC), wrong_HW, ERROR_COLOURS), _letters(wrong_HW, ERROR_LETTERS))
        compared = [number for number, layer in enumerate(layers) if layer.name in (TRUTH, PREDICTED)]
        layers.insert(max(compared) + 1, error)
    return tuple(layers)


def layer_of(plane: Plane, image_HWC: Rgb, palette: Palette) -> Layer:
    """Return a plane as a layer over an image of any size, whose size the layer has."""
    values = nearest(plane.values, image_HWC.shape[:2])
    match plane.kind:
        case "rgb":
            return Layer(plane.name, values, _letters(_grey(values) // 26, _RAMP))
        case "classes":
            return Layer(plane.name, _painted(image_HWC, values, palette.colours), _letters(values, palette.letters))
        case "scalar":
            return Layer(plane.name, _lit(image_HWC, values), _letters(values // 26, _RAMP))
        case "signed":
            return Layer(plane.name, _diverging(values), _letters(values // 26, _RAMP))


def errors(label_HW: Bytes, predicted_HW: Bytes) -> Bytes:
    """Return the error of each pixel: 0 for none, else FALSE_NEGATIVE, FALSE_POSITIVE or WRONG_CLASS."""
    wrong_HW = label_HW != predicted_HW
    kinds_HW = np.where(predicted_HW == 0, FALSE_NEGATIVE, np.where(label_HW == 0, FALSE_POSITIVE, WRONG_CLASS))
    return np.where(wrong_HW, kinds_HW, 0).astype(np.uint8)


def _size(preview: Preview) -> tuple[int, int]:
    """Return height and width of the finest plane."""
    height, width = max((plane.values.shape[:2] for plane in preview.planes), default=(1, 1))
    return height, width


def nearest(values: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return `values` (H, W or H, W, C) at another size, each pixel a copy of the nearest one."""
    height, width = size
    rows = np.arange(height) * values.shape[0] // max(height, 1)
    columns = np.arange(width) * values.shape[1] // max(width, 1)
    return values[rows[:, None], columns]


def scaled(picture_HWC: Rgb, size: tuple[int, int]) -> Rgb:
    """Return the picture at another size, each new pixel the mean of the area it covers."""
    height, width = size
    rows_HWC = _averaged(picture_HWC.astype(np.float32), height)
    return _averaged(rows_HWC.swapaxes(0, 1), width).swapaxes(0, 1).round().clip(0, 255).astype(np.uint8)


def _averaged(values_LKC: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return means over `count` equal parts of the first axis, with fractions of a pixel."""
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
    """Return a dark grey copy as background for coloured pixels."""
    return np.repeat((_grey(image_HWC) // 2)[..., None], 3, axis=2)


def _painted(image_HWC: Rgb, classes_HW: Bytes, colours: Rgb) -> Rgb:
    """Return the classes half transparent over the image with opaque borders; class 0 shows the image."""
    edge_HW = np.zeros(classes_HW.shape, np.bool_)
    edge_HW[:, 1:] |= classes_HW[:, 1:] != classes_HW[:, :-1]
    edge_HW[1:, :] |= classes_HW[1:, :] != classes_HW[:-1, :]
    colour_HWC = colours[classes_HW]
    blended = ((image_HWC.astype(np.uint16) + colour_HWC) // 2).astype(np.uint8)
    covered = np.where(edge_HW[..., None], colour_HWC, blended)
    return np.where(classes_HW[..., None] > 0, covered, image_HWC)


def _lit(image_HWC: Rgb, values_HW: Bytes) -> Rgb:
    """Return the image in dark grey, the lighter the larger the share."""
    share = values_HW[..., None].astype(np.float32) / 255
    return (_faint(image_HWC) * (1 - share) + np.array([255, 255, 255], np.float32) * share).astype(np.uint8)


def _diverging(values_HW: Bytes) -> Rgb:
    """Return values below 0 in one colour and above in another, stronger with distance; 0 is white."""
    share = (values_HW[..., None].astype(np.float32) - 128) / 127
    colour = np.where(share > 0, _ABOVE, _BELOW)
    return (255 - (255 - colour) * np.abs(share).clip(0, 1)).astype(np.uint8)

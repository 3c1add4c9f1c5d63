"""COCO's run lengths of a mask that is known in a window only: the empty rest of the image is never made."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from pycocotools import mask as coco_mask

from engine.tasks.person.data.readers.pixels import Size
from engine.tasks.person.data.readers.scenes import Mask


def encode_mask(mask_HW: Mask, column: int, row: int, size: Size) -> dict[str, Any]:
    """Return the compressed run lengths of a mask in an image of `size`, whose window begins at `column`, `row`."""
    width, height = size
    columns_WH = np.pad(mask_HW.T.astype(np.int8), ((0, 0), (1, 1)))
    change_WH = np.diff(columns_WH, axis=1)
    starts, ends = (_places(change_WH == sign, column, row, height) for sign in (1, -1))
    is_joined = starts[1:] == ends[:-1]  # down to the last row, and on from the first row of the next column
    starts, ends = starts[np.r_[True, ~is_joined][: len(starts)]], ends[np.r_[~is_joined, True][: len(ends)]]
    edges = np.stack([starts, ends], axis=1).reshape(-1)
    end = [] if len(edges) and edges[-1] == width * height else [width * height]
    counts = np.diff(np.r_[0, edges, end].astype(np.int64))
    plain = {"size": [height, width], "counts": counts.tolist()}
    packed = cast(dict[str, Any], coco_mask.frPyObjects(cast(Any, plain), height, width))
    return {"size": [height, width], "counts": packed["counts"].decode()}


def _places(is_there_WH: Mask, column: int, row: int, height: int) -> np.ndarray:
    """Return the places of a window's positions in the image, counted column by column."""
    columns, rows = np.nonzero(is_there_WH)
    return (columns + column) * height + rows + row

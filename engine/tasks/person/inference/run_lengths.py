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
    columns_WH = np.zeros((mask_HW.shape[1], mask_HW.shape[0] + 2), dtype=np.bool_)
    columns_WH[:, 1:-1] = mask_HW.T
    columns, rows = np.divmod(np.flatnonzero(columns_WH[:, 1:] != columns_WH[:, :-1]), mask_HW.shape[0] + 1)
    places = (columns + column) * height + rows + row  # in the image, counted column by column
    starts, ends = places[::2], places[1::2]  # each column of the window begins and ends outside the mask
    is_apart = starts[1:] != ends[:-1]  # else a run goes down to the last row, and on from the first of the next column
    edges = np.empty(2 * np.count_nonzero(is_apart) + 2 * min(len(starts), 1), dtype=np.int64)
    edges[:1], edges[2::2] = starts[:1], starts[1:][is_apart]
    edges[1:-1:2], edges[-1:] = ends[:-1][is_apart], ends[-1:]
    counts = np.diff(edges, prepend=0, append=width * height).tolist()
    if len(edges) and not counts[-1]:
        counts.pop()
    plain = {"size": [height, width], "counts": counts}
    packed = cast(dict[str, Any], coco_mask.frPyObjects(cast(Any, plain), height, width))
    return {"size": [height, width], "counts": packed["counts"].decode()}

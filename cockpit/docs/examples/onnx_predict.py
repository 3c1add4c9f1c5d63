"""Predict the mask of a person in a box of an image with an exported network: numpy, Pillow and onnxruntime, no torch.

python onnx_predict.py model.onnx photo.jpg X,Y,WIDTH,HEIGHT mask.png
"""

import json
import math
import sys
from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image


class MaskPredictor:
    def __init__(self, file: str) -> None:
        self.session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        about = json.loads(self.session.get_modelmeta().custom_metadata_map["training-cockpit"])
        self.before, self.after = about["preprocessing"], about["postprocessing"]

    def region(self, box: Sequence[float]) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the region that the network reads for a box (x, y, width, height)."""
        edges = [], []
        for start, side in zip(box[:2], box[2:], strict=True):
            low, high = start - self.before["padding"] * side, start + side + self.before["padding"] * side
            middle, half = (low + high) / 2, max((high - low) / 2, self.before["min_side"] / 2)
            edges[0].append(middle - half)
            edges[1].append(middle + half)
        (left, top), (right, bottom) = edges
        if self.before["keep_aspect"]:
            height, width = self.before["size"]
            high, x, y = max(bottom - top, (right - left) * height / width) / 2, (left + right) / 2, (top + bottom) / 2
            left, top, right, bottom = x - high * width / height, y - high, x + high * width / height, y + high
        return left, top, right, bottom

    def probabilities(self, image: Image.Image, regions: Sequence[Sequence[float]]) -> NDArray[np.float32]:
        """Return the probabilities of the classes for N regions of an RGB image: (N, classes, height, width)."""
        height, width = self.before["size"]
        crops = [resample(np.asarray(image), region, (width, height)) for region in regions]
        inputs = np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32) / 255
        return self.session.run(["probabilities"], {"image": inputs})[0]

    def paste(self, probs: NDArray[np.float32], region: Sequence[float], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the class of each pixel of an image of `size` (width, height); background outside of the region."""
        left, top, right, bottom = region
        columns, rows = (
            range(max(math.ceil(low - 0.5), 0), min(math.ceil(high - 0.5), length))
            for low, high, length in ((left, right, size[0]), (top, bottom, size[1]))
        )
        classes = np.zeros((size[1], size[0]), np.uint8)
        if columns and rows:
            x, y = probs.shape[2] / (right - left), probs.shape[1] / (bottom - top)
            box = (columns[0] - left) * x, (rows[0] - top) * y, (columns[-1] + 1 - left) * x, (rows[-1] + 1 - top) * y
            planes = [resample(plane, box, (len(columns), len(rows))) for plane in probs]
            classes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = np.argmax(planes, axis=0)
        return classes


def resample(pixels: NDArray[np.generic], box: Sequence[float], size: tuple[int, int]) -> NDArray[np.generic]:
    """Return the part of `pixels` in `box` at `size` (width, height), with the border repeated outside of them."""
    height, width = pixels.shape[:2]
    left, top = (max(math.ceil(-edge), 0) for edge in box[:2])
    right, bottom = max(math.ceil(box[2] - width), 0), max(math.ceil(box[3] - height), 0)
    padded = np.pad(pixels, ((top, bottom), (left, right), (0, 0))[: pixels.ndim], mode="edge")
    moved = box[0] + left, box[1] + top, box[2] + left, box[3] + top
    return np.asarray(Image.fromarray(padded).resize(size, Image.Resampling.BILINEAR, box=moved))


def main(model: str, photo: str, box: str, output: str) -> None:
    predictor = MaskPredictor(model)
    image, region = Image.open(photo).convert("RGB"), predictor.region([float(number) for number in box.split(",")])
    classes = predictor.paste(predictor.probabilities(image, [region])[0], region, image.size)
    is_target = classes == predictor.after["classes"].index("target")
    Image.fromarray(is_target.astype(np.uint8) * 255).save(output)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The options of `main.py predict`, without slow imports."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Final

from cockpit.cli.parser import positive_count, real_number

PREDICT_EXAMPLES: Final = """
the boxes come from
  --box x,y,w,h         left, top, width, height in pixels, for every given image; --box=-5,0,40,90 if left is negative
  --boxes FILE.json     COCO annotations, whose people are found by file name; outlines are not needed
  --boxes FILE.json     a detector's COCO results: a list of {"image_id", "category_id", "bbox", "score"}; images are
                        named by "file_name" or a text in "image_id", by an id of --image-list, or by a number
  --boxes FILE.csv      a header file,x,y,w,h (score may follow), then a line for each box
they refer to the pixels as stored, as in COCO's tools, unless width and height in FILE are those of the image as it is
displayed. An image that cannot be read and a box outside of its image are reported, and the others go on.
exit codes: 0 everything was predicted; 2 wrong words, no boxes, or a part that was reported could not be used
examples:
  main.py predict latest photo.jpg --box 120,40,80,200
  main.py predict my-run DIR --boxes detections.json --min-score 0.5 --output OUT
  main.py predict runs/my-run/checkpoints/best.pt DIR --boxes instances_val.json --masks --json
"""


def add_predict_options(parser: argparse.ArgumentParser, devices: tuple[str, ...]) -> None:
    """Add the options of `predict`."""
    parser.add_argument("source", metavar="RUN|CHECKPOINT", help="a run's name, a path, latest, or a checkpoint file")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE|DIR", help="image files, or directories of them")
    group = parser.add_argument_group("boxes")
    group.add_argument("--boxes", type=Path, metavar="FILE", help="COCO annotations, COCO results, or CSV")
    group.add_argument(
        "--box", action="append", default=[], type=box, metavar="X,Y,W,H", help="a box in every image; may be repeated"
    )
    about = "a COCO file whose images list has the image ids of --boxes"
    group.add_argument("--image-list", type=Path, metavar="FILE", help=about)
    about = "the category id of people in a detector's results (1, or that of --image-list)"
    group.add_argument("--category", default="", metavar="ID", help=about)
    group.add_argument("--min-score", type=real_number, default=0.0, metavar="S", help="leave out boxes below S (0)")
    group = parser.add_argument_group("results")
    about = "a new or empty directory (predictions, or predictions-2 and so on)"
    group.add_argument("--output", type=Path, metavar="DIR", help=about)
    group.add_argument("--force", action="store_true", help="write into a directory with files, and replace them")
    group.add_argument("--masks", action="store_true", help="write the mask of each box too, as PNG of 0 and 255")
    about = "a pixel is of the mask from this probability on (where it is the most probable class)"
    group.add_argument("--threshold", type=_probability, metavar="P", help=about)
    group.add_argument("--no-picture", action="store_true", help="draw no pictures in the terminal")
    group.add_argument("--json", action="store_true", help="one JSON object instead of text")
    group = parser.add_argument_group("network")
    group.add_argument("--weights", choices=("averaged", "trained"), help="which weights (averaged, if there are any)")
    group.add_argument("--batch-size", type=positive_count, default=32, metavar="N", help="boxes per batch (32)")
    group.add_argument("--device", choices=devices, default="auto", help="where to compute (auto)")


def box(text: str) -> tuple[float, float, float, float]:
    """Return the numbers of x,y,w,h. Raises ArgumentTypeError if it is no box with an area."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no box: write x,y,w,h in pixels, like 120,40,80,200")
    if numbers[2] <= 0 or numbers[3] <= 0:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} has no area: the last two numbers are width and height")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _probability(text: str) -> float:
    value = real_number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no probability between 0 and 1")
    return value

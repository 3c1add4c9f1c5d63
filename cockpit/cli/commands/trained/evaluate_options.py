"""The options of `main.py eval`, without slow imports."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from cockpit.cli.parser import count, positive_count
from engine.outputs.inference.evaluation import SPLITS

EVAL_EXAMPLES: Final = """
Every number is taken inside the people's boxes, whatever a region shows around its box; other tasks have their own
metrics. Sizes are COCO's, by the area of a person's mask: small up to 32 x 32 pixels, medium up to 96 x 96, large.
The split is val, or all of a directory that is not the training's and has one split only.
exit codes: 0 measured; 2 wrong words, no such run or data, or a damaged checkpoint
examples:
  main.py eval latest
  main.py eval my-run --data DIR --output OUT --worst 24
  main.py eval runs/my-run/checkpoints/step-00001200.pt --data DIR --split all --csv regions.csv
  main.py eval my-run --weights trained --json
"""


def add_eval_options(parser: argparse.ArgumentParser, devices: tuple[str, ...]) -> None:
    """Add the options of `eval`."""
    parser.add_argument("source", metavar="RUN|CHECKPOINT", help="a run's name, a path, latest, or a checkpoint file")
    group = parser.add_argument_group("data")
    group.add_argument("--data", default="", metavar="DIR", help="another data set (that of the training)")
    group.add_argument("--split", choices=SPLITS, help="its images (val; all of another directory with one split)")
    group = parser.add_argument_group("results")
    group.add_argument("--json", action="store_true", help="one JSON object with every region, instead of text")
    group.add_argument("--csv", type=Path, metavar="FILE", help="write a row for each region")
    about = "write evaluation.json, regions.csv, images.csv and worst.png there"
    group.add_argument("--output", type=Path, metavar="DIR", help=about)
    about = "with --output: number of regions in worst.png, those with the lowest IoU (16)"
    group.add_argument("--worst", type=count, default=16, metavar="N", help=about)
    group = parser.add_argument_group("network")
    group.add_argument("--weights", choices=("averaged", "trained"), help="which weights (averaged, if there are any)")
    group.add_argument(
        "--batch-size", type=positive_count, default=0, metavar="N", help="samples per batch (as trained)"
    )
    group.add_argument("--device", choices=devices, default="auto", help="where to compute (auto)")

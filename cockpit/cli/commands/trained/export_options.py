"""The options of `main.py export`, without slow imports."""

from __future__ import annotations

import argparse
from typing import Final

FORMATS: Final = ("onnx", "torchscript", "safetensors")

EXPORT_EXAMPLES: Final = """
averaged weights are exported if the checkpoint has them. The file says how an application makes the inputs and uses the
outputs. It is checked against the network; one that differs too much is not written.
exit codes: 0 written; 2 wrong words, no such run, a file that exists or does not agree with the network
examples:
  main.py export latest
  main.py export my-run --int8 --output person-int8.onnx
  main.py export runs/my-run/checkpoints/step-00001200.pt --format torchscript --json
  main.py export my-run --format safetensors --weights trained --force
"""


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `export`."""
    parser.add_argument("source", metavar="RUN|CHECKPOINT", help="a run's name, a path, latest, or a checkpoint file")
    parser.add_argument("--format", choices=FORMATS, default="onnx", help="the file's format (onnx)")
    parser.add_argument("--int8", action="store_true", help="with onnx: convolutions in 8 bits, calibrated on samples")
    about = "the file (model.onnx, .pt or .safetensors in the run's directory)"
    parser.add_argument("--output", default="", metavar="FILE", help=about)
    parser.add_argument("--weights", choices=("averaged", "trained"), help="which weights (averaged, if there are any)")
    about = "another data set for the calibration and the check (the run's own)"
    parser.add_argument("--data", default="", metavar="DIR", help=about)
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument("--json", action="store_true", help="one JSON object")

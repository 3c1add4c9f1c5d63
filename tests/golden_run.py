"""Trains the small configuration and prints its losses exactly: `python -m tests.golden_run DIRECTORY`.

A process of its own, so that the instruction set can be pinned before torch is imported: the numbers then do not depend
on which vector units the machine has.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

import torch

from engine.journal.reader import JournalReader
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.small import small_config


def golden_losses(directory: Path) -> list[str]:
    """The total loss of every step as exact hexadecimal floats."""
    torch.set_num_threads(1)
    on = (
        "boundary_refinement",
        "boundary_aware_loss",
        "active_contour_loss",
        "contour_detection",
        "distance_transform",
    )
    config = small_config(
        model={"refinements": dict.fromkeys(on, True)}, training={"epochs": 8}, layers={"every_steps": 1}
    )
    assert train(RunRequest(directory, config, device="cpu"), Interrupt()) == 0
    with closing(JournalReader(directory)) as reader:
        series = reader.series(("loss/total",))
    return [float(value).hex() for value in series.values["loss/total"]]


if __name__ == "__main__":
    print(json.dumps(golden_losses(Path(sys.argv[1]))))

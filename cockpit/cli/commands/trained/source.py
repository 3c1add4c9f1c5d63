"""The trained network that a command names."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.journal.disk.find_run import find_run


def source_of(arguments: argparse.Namespace) -> Path:
    """Return the checkpoint file, or the directory of the run, that the words name. Raises UserError for no run."""
    file = Path(arguments.source)
    return file if file.is_file() else find_run(arguments.runs_dir, arguments.source)

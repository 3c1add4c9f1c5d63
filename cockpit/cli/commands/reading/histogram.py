"""`main.py histogram RUN [LAYER]`: draw the histograms of a layer that a run took, or list those that it kept."""

from __future__ import annotations

import argparse
import shutil
import sys

from cockpit.cli.output import print_json, print_lines, table
from cockpit.text.format import escape_control
from cockpit.text.histogram_text import drawn, heading
from engine.errors import UserError, did_you_mean
from engine.journal.disk.find_run import find_run
from engine.outputs.inspection.histogram_file import kept_histograms
from engine.outputs.inspection.layer_histograms import LayerHistograms
from engine.protocol.codec import to_json
from engine.protocol.words.command_syntax import program_name

_LINES = 8
"""Height of the bars."""


def run_histogram(arguments: argparse.Namespace) -> int:
    """Print the newest histograms of a layer, or a line for each that is kept. Raises UserError."""
    path = find_run(arguments.runs_dir, arguments.run)
    kept = kept_histograms(path)
    take = f"`{program_name()} send {path.name} histogram LAYER` takes some from a running run"
    layers = [taken.layer for taken in kept]
    if arguments.layer and arguments.layer not in layers:
        near = did_you_mean(arguments.layer, layers) if layers else "none were taken"
        raise UserError(f"the run {path.name!r} has no histograms of {arguments.layer!r}; {near}; {take}")
    kept = [taken for taken in kept if not arguments.layer or taken.layer == arguments.layer]
    steps = [taken.step for taken in kept]
    if arguments.step is not None and arguments.step not in steps:
        others = ", ".join(dict.fromkeys(map(str, steps))) or "none"
        raise UserError(f"no histograms were taken at step {arguments.step}; those kept are of the steps: {others}")
    kept = [taken for taken in kept if arguments.step is None or taken.step == arguments.step]
    if arguments.json:
        print_json([to_json(taken) for taken in kept])
    elif not arguments.layer:
        print_lines(_list(kept) if kept else [f"no histograms are kept: {take}"])
    else:
        width = min(shutil.get_terminal_size().columns, 200)
        print_lines([heading(kept[-1]), "", *drawn(kept[-1], width, _LINES, ascii_only=not _has_blocks())])
    return 0


def _list(kept: list[LayerHistograms]) -> list[str]:
    rows: list[tuple[str, ...]] = [("layer", "step", "weights", "gradients", "activations")]
    for taken in kept:
        counts = ("-" if found is None else str(found.count) for _, found in taken.kinds())
        rows.append((escape_control(taken.layer), str(taken.step), *counts))
    return table(rows)


def _has_blocks() -> bool:
    """Return whether the output's encoding has the blocks of the bars."""
    try:
        "\u2581\u2588".encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True

"""`main.py predict RUN|CHECKPOINT IMAGE|DIR...`: masks of given boxes as overlays, COCO JSON and terminal pictures.

`main.py` passes in the function that needs torch.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cockpit.cli.commands.trained.source import source_of
from cockpit.cli.output import clear_progress, print_json, print_lines, say_progress
from cockpit.terminal.standard_streams import complain
from cockpit.text.format import escape_control
from engine.outputs.inference.prediction import GivenBoxes, ImageResult, OnImage, PredictReport, PredictRequest
from engine.protocol.codec import Json

MOST_PICTURES: Final = 4
"""Number of overlays that are drawn in the terminal."""

_OUTPUT: Final = "predictions"


def run_predict(arguments: argparse.Namespace, predict: Callable[[PredictRequest, OnImage], PredictReport]) -> int:
    """Print the number of masks and the files; return 0, or 2 if an image or a box could not be used.

    Raises UserError if there is no such network, image or box, or the directory of the output is not empty.
    """
    source = source_of(arguments)
    boxes = GivenBoxes(
        arguments.boxes, arguments.image_list, tuple(arguments.box), arguments.category, arguments.min_score
    )
    request = PredictRequest(
        source=source,
        images=tuple(arguments.images),
        boxes=boxes,
        output=arguments.output or free_output(Path()),
        force=arguments.force,
        threshold=arguments.threshold,
        with_masks=arguments.masks,
        weights=arguments.weights,
        batch_size=arguments.batch_size,
        device=arguments.device,
    )
    viewer = _Viewer(wants_pictures(arguments))
    report = predict(request, viewer.show)
    clear_progress()
    if arguments.json:
        print_json(report_json(report))
    else:
        print_lines(report_lines(report))
    return 2 if report.problems else 0


def free_output(folder: Path) -> Path:
    """Return the directory of results that no command has written yet: predictions, or predictions-2 and so on."""
    names = (_OUTPUT, *(f"{_OUTPUT}-{number}" for number in range(2, 10_000)))
    return next((folder / name for name in names if not os.path.lexists(folder / name)), folder / _OUTPUT)


def wants_pictures(arguments: argparse.Namespace) -> bool:
    """Return whether overlays are drawn: on a terminal with colours, unless JSON or no picture is wanted."""
    if arguments.json or arguments.no_picture or not sys.stdout.isatty():
        return False
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")


class _Viewer:
    """Shows finished images: problems and progress on standard error, the first overlays on standard output."""

    def __init__(self, draws: bool) -> None:
        self._num_left = MOST_PICTURES if draws else 0

    def show(self, result: ImageResult, number: int, count: int) -> None:
        """Show one image, the `number`th of `count`."""
        if result.problems or (self._num_left and result.overlay):
            clear_progress()
        for problem in result.problems:
            complain(f"{escape_control(result.name)}: {escape_control(problem)}")
        if self._num_left and result.overlay is not None:
            from cockpit.cli.commands.trained.terminal_picture import draw_picture  # noqa: PLC0415 - only where drawn

            self._num_left -= 1
            draw_picture(result.overlay, f"{result.name}: {_counted(result.num_masks, 'mask')}")
        say_progress(f"{number} of {count} images")


def report_lines(report: PredictReport) -> Iterator[str]:
    """Yield the numbers, the files, and what was left out."""
    made = f"{_counted(report.num_masks, 'mask')} in {_counted(report.num_images, 'image')}"
    pace = f"{report.seconds:.2f} s, of which the network {report.network_seconds:.2f} s"
    yield escape_control(f"{made}, {pace}, on {report.device}")
    yield escape_control(f"network: {report.weights} weights of {report.checkpoint} after step {report.step}")
    yield escape_control(f"results: {report.results}; pictures and masks are in {report.output}")
    yield from (f"note: {escape_control(note)}" for note in report.notes)
    if report.problems:
        yield f"{_counted(len(report.problems), 'problem')}, listed above"


def report_json(report: PredictReport) -> Json:
    """Return the report as an object."""
    return {
        "checkpoint": str(report.checkpoint),
        "step": report.step,
        "weights": report.weights,
        "device": report.device,
        "images": report.num_images,
        "masks": report.num_masks,
        "seconds": report.seconds,
        "network_seconds": report.network_seconds,
        "output": str(report.output),
        "results": str(report.results),
        "problems": list(report.problems),
        "notes": list(report.notes),
    }


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"

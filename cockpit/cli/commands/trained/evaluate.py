"""`main.py eval RUN|CHECKPOINT`: the numbers of a trained network on a data set.

`main.py` passes in the function that needs torch.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from cockpit.cli.commands.trained.source import source_of
from cockpit.cli.output import clear_progress, print_json, print_lines, say_progress, table
from cockpit.text.format import decimal, escape_control, number
from engine.errors import UserError
from engine.outputs.inference.evaluation import (
    Cell,
    EvaluatedGroup,
    EvaluationReport,
    EvaluationRequest,
    Examination,
    OnProgress,
)
from engine.outputs.inference.whole_file import check_target, write_whole
from engine.protocol.codec import Json
from engine.runtime.start.preflight import check_data

_BAR: Final = 24
"""Characters of the progress bar."""
_REPORT, _REGIONS, _IMAGES, _WORST = FILES = ("evaluation.json", "regions.csv", "images.csv", "worst.png")
"""Files of --output."""


def run_eval(
    arguments: argparse.Namespace, evaluate: Callable[[EvaluationRequest, OnProgress], EvaluationReport]
) -> int:
    """Print the numbers and the files; return 0.

    Raises UserError if there is no such network or data, or a file cannot be written.
    """
    source = source_of(arguments)
    check_data(arguments.data)
    if arguments.csv is not None:
        check_target(arguments.csv, "--csv")
    output: Path | None = arguments.output
    if output is not None:
        _claim(output)
    request = EvaluationRequest(
        source=source,
        data=arguments.data,
        split=arguments.split,
        weights=arguments.weights,
        batch_size=arguments.batch_size,
        device=arguments.device,
        pictures=output and output / _WORST,
        num_worst=arguments.worst,
    )
    try:
        report = evaluate(request, show_progress)
    finally:
        clear_progress()
    files = _written(report, output, arguments.csv)
    if arguments.json:
        print_json(report_json(report))
    else:
        print_lines(report_lines(report, files))
    return 0


def show_progress(what: str, done: int, total: int) -> None:
    """Show a bar with what is counted, on a terminal only."""
    if not total:
        say_progress(f"{what} ...")
        return
    full = _BAR * min(done, total) // total
    say_progress(f"[{'#' * full}{'.' * (_BAR - full)}] {done} of {total} {what}")


def _claim(directory: Path) -> None:
    """Make the directory. Raises UserError if that fails, or it holds files of another origin."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = {entry.name for entry in directory.iterdir()}
    except OSError as error:
        raise UserError(f"--output {directory} cannot be made ({error.strerror}); give another directory") from error
    if held - set(FILES) or (held and _REPORT not in held):
        raise UserError(f"--output {directory} has files that eval did not write: give a new or empty directory")


def _written(report: EvaluationReport, output: Path | None, rows: Path | None) -> tuple[Path, ...]:
    """Write the files that are wanted, and return them. Raises UserError if one cannot be written."""
    found = report.examination
    if rows is not None and found is None:
        raise UserError(f"--csv: this task measures no single {report.sample_noun}; leave it out, or use --json")
    contents: dict[Path, str] = {}
    if output is not None:
        contents[output / _REPORT] = json.dumps(report_json(report), allow_nan=False, indent=1) + "\n"
    if output is not None and found is not None:
        contents[output / _REGIONS], contents[output / _IMAGES] = _csv(found.rows), _csv(found.files)
    if rows is not None and found is not None:
        contents[rows] = _csv(found.rows)
    for file, content in contents.items():
        _write(file, content)
    files = (*contents, *(found.pictures if found else ()))
    for stale in {output / name for name in FILES} - {*files} if output is not None else ():  # of an earlier evaluation
        stale.unlink(missing_ok=True)
    return files


def _csv(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Return rows as CSV with a header; a number without a value is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if _is_unknown(cell) else cell for name, cell in row.items()} for row in rows)
    return text.getvalue()


def _is_unknown(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, float) and not math.isfinite(cell))


def _write(file: Path, content: str) -> None:
    """Write a file completely or not at all. Raises UserError if writing fails."""
    try:
        write_whole(file, content.encode("utf-8", errors="surrogateescape"))
    except OSError as error:
        raise UserError(f"{file} cannot be written ({error.strerror}); choose another file") from error


def report_lines(report: EvaluationReport, files: Sequence[Path] = ()) -> Iterator[str]:
    """Yield what was measured, the numbers, the files, and what could not be used."""
    found = report.examination
    where = f"{report.weights} weights of {report.checkpoint} after step {report.step}, on {report.device}"
    yield escape_control(where)
    samples = f"{report.num_samples} {report.sample_noun}{'' if report.num_samples == 1 else 's'}"
    images = f" in {len(found.files)} image{'' if len(found.files) == 1 else 's'}" if found else ""
    source = report.data or "the task's built-in data"
    yield escape_control(f"split {report.split} of {source}: {samples}{images}, {report.seconds:.1f} s")
    yield ""
    whole = EvaluatedGroup("", report.num_samples, report.metrics)
    yield from table(_table(report, (*found.groups, *found.references) if found else (whole,)))
    yield f"loss {number(report.loss)}"
    yield ""
    yield from (escape_control(f"written: {file}") for file in files)
    yield from (escape_control(f"note: {note}") for note in report.notes)
    for problem in found.problems if found else ():
        yield escape_control(f"left out: {problem}")


def _table(report: EvaluationReport, groups: Sequence[EvaluatedGroup]) -> list[list[str]]:
    """Return a row for each number and a column for each group. The score of the training is marked."""
    titles = {**report.titles, **(report.examination.titles if report.examination else {})}
    names = list(dict.fromkeys(name for group in groups for name in group.numbers))
    head = [
        ["", *(group.name for group in groups)],
        [escape_control(f"{report.sample_noun}s"), *(str(group.count) for group in groups)],
    ]
    rows = [
        [
            escape_control(titles.get(name, name.replace("_", " "))) + (" (the score)" if name == report.score else ""),
            *(_number(group.numbers.get(name, math.nan)) for group in groups),
        ]
        for name in names
    ]
    return [*(head if len(groups) > 1 else []), *rows]


def _number(value: float) -> str:
    return decimal(value, 4) if math.isfinite(value) else "-"


def report_json(report: EvaluationReport) -> Json:
    """Return the report as an object; a number without a value is null."""
    found = report.examination
    return {
        "checkpoint": str(report.checkpoint),
        "step": report.step,
        "weights": report.weights,
        "device": report.device,
        "data": report.data,
        "split": report.split,
        "samples": report.num_samples,
        "seconds": report.seconds,
        "score": report.score,
        "loss": _json(report.loss),
        "terms": _object(report.terms),
        "metrics": _object(report.metrics),
        "notes": list(report.notes),
        **({} if found is None else _examination_json(found)),
    }


def _examination_json(found: Examination) -> dict[str, Json]:
    return {
        "groups": [_group_json(group) for group in found.groups],
        "references": [_group_json(group) for group in found.references],
        "images": [_object(row) for row in found.files],
        "regions": [_object(row) for row in found.rows],
        "pictures": [str(file) for file in found.pictures],
        "problems": list(found.problems),
    }


def _group_json(group: EvaluatedGroup) -> Json:
    return {"name": group.name, "samples": group.count, **_object(group.numbers)}


def _object(values: Mapping[str, Cell]) -> dict[str, Json]:
    return {name: _json(value) for name, value in values.items()}


def _json(value: Cell) -> Json:
    return None if _is_unknown(value) else value

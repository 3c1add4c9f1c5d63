"""`main.py export RUN|CHECKPOINT`: write a trained network for other programs.

`main.py` passes in the function that needs torch; it is called once the run and the packages are there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cockpit.cli.commands.trained.source import source_of
from cockpit.cli.output import print_json, print_lines
from cockpit.cli.servers.extras import check_extra
from cockpit.cli.version import version
from cockpit.terminal.standard_streams import complain
from cockpit.text.format import counted, escape_control
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.outputs.inference.export_report import SUFFIXES, ExportReport, ExportRequest, Int8Report
from engine.protocol.codec import to_json
from engine.runtime.start.preflight import check_data

Say = Callable[[str], None]

_PACKAGES: Final = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torchscript": (), "safetensors": ("safetensors",)}
"""Packages of the extra `export` that each format needs."""


def run_export(arguments: argparse.Namespace, export: Callable[[ExportRequest, Say], ExportReport]) -> int:
    """Print the file and its check; return 0.

    Raises UserError if there is no such network, a package is missing, or the file cannot be written.
    """
    source = source_of(arguments)
    check_data(arguments.data)
    for package in _PACKAGES[arguments.format]:
        check_extra(package, "export", f"export --format {arguments.format}")
    request = ExportRequest(
        source=source,
        output=Path(arguments.output) if arguments.output else default_output(source, arguments),
        format=arguments.format,
        int8=arguments.int8,
        weights=arguments.weights,
        data=arguments.data,
        force=arguments.force,
        version=version(),
    )
    report = export(request, lambda stage: complain(f"{escape_control(stage)} ..."))
    if arguments.json:
        print_json(to_json(report))
    else:
        print_lines(report_lines(report))
    return 0


def default_output(source: Path, arguments: argparse.Namespace) -> Path:
    """Return the file for a run's network in its directory; for a checkpoint that is elsewhere, next to it."""
    folder = source if source.is_dir() else source.parent
    folder = folder.parent if folder.name == CHECKPOINTS else folder
    return folder / f"model{'-int8' if arguments.int8 else ''}{SUFFIXES[arguments.format]}"


def report_lines(report: ExportReport) -> Iterator[str]:
    """Yield the file, its network, and how far it agrees with the trained one."""
    yield escape_control(f"{report.file}: {report.format}, {_megabytes(report.num_bytes)}")
    origin = f"{report.run} {report.checkpoint}".strip()
    components = f", with {', '.join(report.components)}" if report.components else ""
    yield escape_control(f"{report.weights} weights of {origin} after step {report.step}{components}")
    limit = f"at most {report.bound:g} allowed, {report.checked_on}"
    yield f"largest difference from the network {report.difference:.2g} ({limit})"
    if report.int8 is not None:
        yield from _int8_lines(report.int8, report.num_bytes)


def _int8_lines(int8: Int8Report, num_bytes: int) -> Iterator[str]:
    compared = f"on {counted(int8.num_compared, 'sample')}, at least {100 * int8.bound:.0f} % required"
    details = f"{compared}; calibrated on {int8.num_calibrated}"
    yield f"8 bits: {100 * int8.agreement:.2f} % of the classes are the same ({details})"
    if int8.kept_in_float:
        yield escape_control(f"8 bits: {', '.join(int8.kept_in_float)} stayed in float32, which they need")
    size = f"{100 * num_bytes / int8.float_bytes:.0f} % of {_megabytes(int8.float_bytes)}"
    yield f"8 bits: {size}; {int8.int8_ms:.3g} ms of one core a sample, {int8.float_ms:.3g} ms in float32"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"

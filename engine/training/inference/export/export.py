"""Export a trained network, check the file against the network, and write it only if it agrees."""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from engine.errors import UserError
from engine.outputs.inference.export_report import ExportReport, ExportRequest, Int8Report
from engine.outputs.inference.whole_file import check_target
from engine.protocol.record import record
from engine.task import Samples
from engine.training.inference.export.metadata import description, run_dir_of, versions
from engine.training.inference.export.network import CHECKED, Arrays, Exportable, difference, exportable, samples_for
from engine.training.inference.trained_model import TrainedModel, open_trained

BOUND: Final = 1e-4
"""Largest difference between the outputs of the file and of the network."""

Say = Callable[[str], None]


class Session(Protocol):
    """An exported network that can be run."""

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name."""
        ...


@record
class _Made:
    """The content of a file, and what its check has found."""

    content: bytes
    difference: float
    bound: float
    checked_on: str
    int8: Int8Report | None = None


def export(request: ExportRequest, say: Say) -> ExportReport:
    """Write the file of the request, and report on it; `say` receives each stage.

    Raises UserError if the network cannot be exported, the file does not agree with it or cannot be written.
    """
    check_output(request)
    say(f"opening {request.source}")
    trained = open_trained(request.source, device="cpu", weights=request.weights)
    made = _weights(trained, request) if request.format == "safetensors" else _network(trained, request, say)
    _write(request.output, made.content, force=request.force)
    run = run_dir_of(trained.checkpoint)
    return ExportReport(
        file=str(request.output),
        num_bytes=len(made.content),
        format=request.format,
        run=run.name if run else "",
        checkpoint=trained.checkpoint.name,
        step=trained.step,
        weights=trained.weights,
        components=tuple(sorted(trained.components)),
        difference=made.difference,
        bound=made.bound,
        checked_on=made.checked_on,
        int8=made.int8,
        versions=versions(request),
    )


def check_output(request: ExportRequest) -> None:
    """Raise UserError if the options contradict each other, or the file cannot be written."""
    if request.int8 and request.format != "onnx":
        raise UserError(
            f"--int8 quantizes ONNX files only: leave it out, or use --format onnx instead of {request.format}"
        )
    check_target(request.output, "--output")
    if request.output.exists() and not request.force:
        raise UserError(f"{request.output} exists: choose another --output, or replace it with --force")


def _weights(trained: TrainedModel, request: ExportRequest) -> _Made:
    from engine.training.inference.export.weights_file import is_same, weights_content  # noqa: PLC0415 - an extra

    weights = trained.model.state_dict()
    content = weights_content(weights, json.dumps(description(trained, request, None)))
    if not is_same(content, weights):
        raise UserError("the weights in the file differ from the network's: it is not written; report this as a bug")
    return _Made(content, 0.0, 0.0, "all weights")


def _network(trained: TrainedModel, request: ExportRequest, say: Say) -> _Made:
    exported = exportable(trained)
    text = json.dumps(description(trained, request, exported))
    samples = samples_for(trained, exported.plan, request.data, say, must=request.int8 or bool(request.data))
    say(f"exporting to {request.format}")
    if request.format == "torchscript":
        from engine.training.inference.export.torchscript_file import (  # noqa: PLC0415 - slow
            TorchScriptSession,
            torchscript_content,
        )

        content = torchscript_content(exported, text)
        return _checked(content, TorchScriptSession(content, exported), exported, samples, say)
    return _onnx(exported, samples, text, request, say)


def _onnx(exported: Exportable, samples: Samples | None, text: str, request: ExportRequest, say: Say) -> _Made:
    from engine.training.inference.export.onnx_file import OnnxSession, describe, onnx_model  # noqa: PLC0415 - an extra

    model = onnx_model(exported)
    describe(model, text)
    content = model.SerializeToString()
    made = _checked(content, OnnxSession(content), exported, samples, say)
    if not request.int8:
        return made
    assert samples is not None
    from engine.training.inference.export.quantize import quantize  # noqa: PLC0415 - an extra

    content, report = quantize(model, text, exported, samples, say)
    return replace(made, content=content, int8=report)


def _checked(content: bytes, session: Session, exported: Exportable, samples: Samples | None, say: Say) -> _Made:
    """Return the content with its largest difference. Raises UserError if that exceeds the bound."""
    kind = "random numbers" if samples is None else "validation samples"
    checked_on = f"batches of {', '.join(map(str, CHECKED))} {kind}"
    say(f"checking on {checked_on}")
    largest = 0.0
    for count in CHECKED:
        inputs = exported.noise(count) if samples is None else exported.samples(samples, spread(count, len(samples)))
        found = difference(session.run(inputs), exported.network.run(inputs))
        largest = found if math.isnan(found) else max(largest, found)
    if not largest <= BOUND:
        raise UserError(
            f"the exported network differs from the trained one by {largest:.2g}, more than the {BOUND:g} allowed: no "
            "file is written; try another --format"
        )
    return _Made(content, largest, BOUND, checked_on)


def spread(count: int, total: int) -> list[int]:
    """Return `count` indices below `total`, evenly spread; some repeat if there are fewer."""
    return [place * total // count for place in range(count)]


def _write(output: Path, content: bytes, *, force: bool) -> None:
    """Write the file completely or not at all. Raises UserError if that fails, or another process was faster."""
    output = output.resolve()
    try:
        handle, partial = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}-", suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(partial, 0o666 & ~mask)
            if output.exists() and not force:
                raise FileExistsError(errno.EEXIST, "it has come to exist meanwhile")
            Path(partial).replace(output)
        finally:
            Path(partial).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}; choose another --output") from error

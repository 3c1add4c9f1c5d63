"""Export a network to ONNX with any number of samples, and run it with onnxruntime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import onnxruntime
import torch
from onnx import ModelProto
from torch import Tensor, nn
from torch.export import Dim

from engine.errors import UserError
from engine.outputs.inference.export_report import METADATA
from engine.training.inference.export.network import Arrays, Exportable, ExportedNetwork

OPSET: Final = 18
"""Version of ONNX's operators; onnxruntime reads it from 1.18."""

_AXIS: Final = "N"
"""Name of the axis that counts the samples."""
_LONGEST_REASON: Final = 200
"""Maximum number of characters of a library's error message."""

onnxruntime.set_default_logger_severity(4)  # it prints only what ends the process: its errors are raised as well


def onnx_model(exported: Exportable) -> ModelProto:
    """Return the network as an ONNX model.

    Raises UserError if it has an operation that ONNX lacks, or a fixed number of samples.
    """
    axes = {0: Dim(_AXIS)}
    try:
        with _quiet():
            program = torch.onnx.export(
                _OfOneArgument(exported.network),
                (exported.examples,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=list(exported.network.input_names),
                output_names=list(exported.outputs),
                dynamic_shapes=(tuple(axes for _ in exported.examples),),
            )
    except torch.onnx.OnnxExporterError as error:
        raise UserError(
            f"the network cannot be exported to ONNX: {_reason(error)}; try --format torchscript"
        ) from error
    assert program is not None
    model: Any = program.model_proto
    _strip(model)
    if fixed := [held.name for held in (*model.graph.input, *model.graph.output) if not _first_axis(held)]:
        raise UserError(f"{fixed[0]} has a fixed number of samples: the network must count by shape[0], not by len()")
    return model


def describe(model: ModelProto, text: str) -> None:
    """Put the description `text` into the model's metadata."""
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA, value=text)


class _OfOneArgument(nn.Module):
    """A network that takes its inputs as one tuple: torch 2.9 cannot export one with any number of arguments."""

    def __init__(self, network: ExportedNetwork) -> None:
        super().__init__()
        for name, child in network.named_children():  # weights have the same names in the file
            self.add_module(name, child)
        self._call = network.forward

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        """Return the outputs."""
        return self._call(*inputs)


class OnnxSession:
    """A model in onnxruntime on one core of the processor."""

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # all work is done in the calling thread, whose time is measured
        with _running():
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name."""
        names = [output.name for output in self._session.get_outputs()]
        with _running():
            found: Any = self._session.run(names, dict(inputs))
        return dict(zip(names, found, strict=True))


@contextmanager
def _running() -> Generator[None]:
    """Raise UserError in place of an error of onnxruntime."""
    try:
        yield
    except Exception as error:  # they have no class in common
        raise UserError(f"onnxruntime cannot run the network: {_reason(error)}; try --format torchscript") from error


def _first_axis(value: Any) -> str:
    """Return the name of an input's or output's first axis; an empty string for a fixed size."""
    dimensions = value.type.tensor_type.shape.dim
    return dimensions[0].dim_param if dimensions else ""


def _reason(error: BaseException) -> str:
    """Return the first line of the error at the origin: the exporter wraps it in instructions."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0][:_LONGEST_REASON]


def _strip(model: ModelProto) -> None:
    """Remove what the exporter notes on each node: stack traces with the paths of this machine."""
    model.doc_string = ""
    graphs: list[Any] = [model.graph, *model.functions]
    inner = [held for graph in graphs for held in (graph, *graph.node, *graph.value_info)]
    for held in (*inner, *model.graph.input, *model.graph.output, *model.graph.initializer):
        held.doc_string = ""
        del held.metadata_props[:]


@contextmanager
def _quiet() -> Generator[None]:
    """Silence the exporter: it warns of packages that are not needed, and of torch's own deprecations."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

"""Quantize the convolutions of an ONNX model to 8 bits, and compare the result with the float model."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import onnx
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from engine.errors import UserError
from engine.outputs.inference.export_report import Int8Report
from engine.protocol.record import record
from engine.task import Samples
from engine.training.inference.export.network import Arrays, Exportable
from engine.training.inference.export.onnx_file import OnnxSession, describe
from engine.training.inference.export.sensitivity import classes, harmed

MIN_AGREEMENT: Final = 0.98
"""Share of predictions that must keep their class."""

_SEARCHED: Final = 0.99
"""Share of equal classes below which convolutions that do not fit 8 bits are looked for."""
_BATCH: Final = 8
_CALIBRATED: Final = 64
"""Most samples from which the ranges of activations are taken."""
_COMPARED: Final = 128
"""Most samples on which the two models are compared."""
_QUANTIZED: Final = ("Conv", "ConvTranspose")


@record
class _Comparison:
    """The share of equal classes, and the milliseconds per sample of both models."""

    agreement: float
    float_ms: float
    int8_ms: float


def quantize(
    model: ModelProto, text: str, exported: Exportable, samples: Samples, say: Callable[[str], None]
) -> tuple[bytes, Int8Report]:
    """Return the file of the quantized model with the description `text`, and its comparison with the float model.

    Raises UserError if it changes more classes than allowed.
    """
    calibration, comparison = split_samples(len(samples))
    num_calibrated, num_compared = (sum(map(len, batches)) for batches in (calibration, comparison))
    batches = [exported.samples(samples, batch) for batch in calibration]
    plain, kept = model.SerializeToString(), list[str]()
    say(f"quantizing with the ranges of {num_calibrated} validation samples")
    small = _quantized(model, text, batches, kept)
    say(f"comparing on {num_compared} validation samples")
    found = _compare((plain, small), exported, samples, comparison)
    if found.agreement < _SEARCHED:
        changed = f"{100 * (1 - found.agreement):.2f} %"
        say(f"{changed} of the classes change: looking for convolutions that do not fit 8 bits")
        if kept := harmed(exported, batches, _weights(model)):
            small = _quantized(model, text, batches, kept)
            found = _compare((plain, small), exported, samples, comparison)
    if not found.agreement >= MIN_AGREEMENT:
        raise UserError(
            f"the quantized network changes {100 * (1 - found.agreement):.2f} % of the classes, more than the "
            f"{100 * (1 - MIN_AGREEMENT):.0f} % allowed: no file is written; export it without --int8"
        )
    return small, Int8Report(
        agreement=found.agreement,
        bound=MIN_AGREEMENT,
        num_calibrated=num_calibrated,
        num_compared=num_compared,
        kept_in_float=tuple(name.removeprefix("model.").removesuffix(".weight") for name in kept),
        float_bytes=len(plain),
        float_ms=found.float_ms,
        int8_ms=found.int8_ms,
    )


def split_samples(count: int) -> tuple[list[range], list[range]]:
    """Return the batches for calibration and for comparison. They share no sample unless there is only one."""
    num_calibrated = min(_CALIBRATED, max(count // 2, 1))
    first = num_calibrated if count > 1 else 0
    return _batches(0, num_calibrated), _batches(first, min(count, first + _COMPARED))


def _batches(first: int, last: int) -> list[range]:
    return [range(start, min(start + _BATCH, last)) for start in range(first, last, _BATCH)]


class _Reader(CalibrationDataReader):
    """Hands calibration batches to onnxruntime."""

    def __init__(self, batches: Iterator[Arrays]) -> None:
        self._batches = batches

    def get_next(self) -> Any:
        """Return the inputs of the next batch, or `None` at the end."""
        return next(self._batches, None)


def _quantized(model: ModelProto, text: str, batches: Sequence[Arrays], kept: Collection[str]) -> bytes:
    """Return the file of the model with convolutions in 8 bits, except those with weights in `kept`.

    The ranges of activations are those of the samples. Weights take 7 bits, since processors without VNNI add up
    products of 8 bits with saturation.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, done = (Path(folder) / name for name in ("plain.onnx", "ready.onnx", "int8.onnx"))
        onnx.save(model, plain)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        nodes = onnx.load(ready).graph.node
        quantize_static(
            ready,
            done,
            _Reader(iter(batches)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTIZED),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[node.name for node in nodes if set(kept) & set(node.input)],
        )
        small = onnx.load(done)
    share_weights(small)
    describe(small, text)
    return small.SerializeToString()


def share_weights(model: ModelProto) -> None:
    """Keep one of several equal tensors: a network that is applied twice, as to mirrored regions, has copies."""
    tensors: list[Any] = list(model.graph.initializer)
    first: dict[bytes, str] = {}
    name_of: dict[str, str] = {}
    for tensor in tensors:
        name, tensor.name = tensor.name, ""
        name_of[name] = first.setdefault(tensor.SerializeToString(deterministic=True), name)
        tensor.name = name
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensor for tensor in tensors if name_of[tensor.name] == tensor.name)
    for node in model.graph.node:
        node.input[:] = [name_of.get(name, name) for name in node.input]


def _weights(model: ModelProto) -> set[str]:
    return {name for node in model.graph.node if node.op_type in _QUANTIZED for name in node.input}


def _compare(
    files: tuple[bytes, bytes], exported: Exportable, samples: Samples, batches: Sequence[range]
) -> _Comparison:
    """Compare a float and a quantized model on samples; the time is that of the first batch."""
    models = [OnnxSession(file) for file in files]
    name = next(iter(exported.outputs))
    equal = total = 0
    for batch in batches:
        inputs = exported.samples(samples, batch)
        plain, small = (classes(model.run(inputs)[name]) for model in models)
        equal, total = equal + int((plain == small).sum()), total + plain.size
    inputs = exported.samples(samples, batches[0])
    float_ms, int8_ms = (1000 * _seconds(model, inputs) / len(batches[0]) for model in models)
    return _Comparison(equal / total, float_ms, int8_ms)


def _seconds(model: OnnxSession, inputs: Arrays) -> float:
    """Return the processor time of the shortest of five runs, which other programs do not change."""
    found: list[float] = []
    for _ in range(5):
        began = time.thread_time()
        model.run(inputs)
        found.append(time.thread_time() - began)
    return min(found)

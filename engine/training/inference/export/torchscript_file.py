"""Export a network to TorchScript, and run it."""

from __future__ import annotations

import io
import warnings

import torch

from engine.errors import UserError
from engine.outputs.inference.export_report import METADATA
from engine.training.inference.export.network import Arrays, Exportable


def torchscript_content(exported: Exportable, text: str) -> bytes:
    """Return the file of the traced network, with the description `text`. Raises UserError if it cannot be traced."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and tracing warns of sizes that are fixed on purpose
        try:
            traced = torch.jit.freeze(torch.jit.trace(exported.network, exported.examples, check_trace=False))
            torch.jit.save(traced, buffer, _extra_files={f"{METADATA}.json": text})
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"the network cannot be traced for TorchScript: {reason}; try --format onnx") from error
    return buffer.getvalue()


class TorchScriptSession:
    """A TorchScript file on the processor."""

    def __init__(self, content: bytes, exported: Exportable) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._module = torch.jit.load(io.BytesIO(content), map_location="cpu")
        self._exported = exported

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name. Raises UserError if the trace has a fixed number of samples."""
        given = [torch.from_numpy(inputs[name]) for name in self._exported.network.input_names]
        try:
            with torch.no_grad():
                found = self._module(*given)
        except RuntimeError as error:
            raise UserError(
                f"the traced network fails on {len(given[0])} samples: it must count them by shape[0], not by len()"
            ) from error
        values = found if isinstance(found, tuple) else (found,)
        return {name: value.numpy() for name, value in zip(self._exported.outputs, values, strict=True)}

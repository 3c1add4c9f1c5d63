"""What `main.py export` writes: the request, and the report on the file and its check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Final, Literal

from engine.protocol.record import record

Format = Literal["onnx", "torchscript", "safetensors"]
"""Format of an exported network; `safetensors` holds its weights only."""

SUFFIXES: Final[Mapping[Format, str]] = {"onnx": ".onnx", "torchscript": ".pt", "safetensors": ".safetensors"}
"""End of the default file name of each format."""

METADATA: Final = "training-cockpit"
"""Key of the description in the metadata of a file; in TorchScript the extra file `training-cockpit.json`."""

SCHEMA: Final = "training-cockpit/export/1"
"""Name and version of the description's schema."""


@record
class ExportRequest:
    """An export of the network in `source`, a run's directory or a checkpoint file, to `output`.

    `weights` of `None` takes averaged weights if there are any. `data` is another data set for the check; an empty
    string for the run's own. An existing file is replaced with `force` only. `version` is that of this program.
    """

    source: Path
    output: Path
    format: Format
    int8: bool = False
    weights: Literal["averaged", "trained"] | None = None
    data: str = ""
    force: bool = False
    version: str = ""


@record
class Int8Report:
    """Comparison of the quantized network with the float one on samples that the calibration did not see.

    `agreement` is the share of predictions whose class is the same, at least `bound`. `kept_in_float` names the
    convolutions that 8 bits would harm. The milliseconds are those of one core for one sample in a batch of eight.
    """

    agreement: float
    bound: float
    num_calibrated: int
    num_compared: int
    kept_in_float: tuple[str, ...]
    float_bytes: int
    float_ms: float
    int8_ms: float


@record
class ExportReport:
    """The exported file, and its check against the network.

    `difference` is the largest one of any output, relative to the largest value if that is above 1; at most `bound`.
    `checked_on` says on which inputs; of a quantized network the float one was checked.
    """

    file: str
    num_bytes: int
    format: Format
    run: str
    checkpoint: str
    step: int
    weights: str
    components: tuple[str, ...]
    difference: float
    bound: float
    checked_on: str
    int8: Int8Report | None = None
    versions: Mapping[str, str] = field(default_factory=dict[str, str])

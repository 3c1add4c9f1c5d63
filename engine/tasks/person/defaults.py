"""The default configuration of a run that names none."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Final

WITH_GPU: Final = "rgb_hierarchical_unet_v2_attention_r64m64_refined_stable"
WITHOUT_GPU: Final = "tiny"

_NVIDIA_GPUS: Final = Path("/proc/driver/nvidia/gpus")


def likely_config() -> str:
    """Return the probable result of `default_config`, without importing torch."""
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    nvidia = _NVIDIA_GPUS.is_dir() and any(_NVIDIA_GPUS.iterdir())
    return WITH_GPU if apple or nvidia else WITHOUT_GPU


def default_config() -> str:
    """Return the configuration for this machine. Imports torch.

    The full network needs a GPU; the tiny one learns within minutes on a CPU.
    """
    from engine.training.device import choose_device  # noqa: PLC0415

    return WITH_GPU if choose_device("auto").type != "cpu" else WITHOUT_GPU

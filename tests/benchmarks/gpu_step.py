"""What the engine adds to a step on a GPU: `python -m tests.benchmarks.gpu_step`.

The engine's whole step against a bare loop, in pairs of turns as in `step_speed`, for each precision; a turn ends when
the device has finished it. The network has its published widths: on a GPU those of `tiny` are bound by their launches.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tests.benchmarks import step_speed

PRECISIONS = {
    "fp32": ("training.mixed_precision=false",),
    "bf16": ("training.mixed_precision=true", "training.amp_dtype=bf16"),
    "fp16": ("training.mixed_precision=true", "training.amp_dtype=fp16"),
}


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print the ratio in each precision. Raises SystemExit without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="rgb_hierarchical_unet_v2_attention_r64m64")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    options = parser.parse_args(words)

    import torch

    if not torch.cuda.is_available():
        raise SystemExit("this machine has no CUDA device")
    print(torch.cuda.get_device_name())
    for name, settings in PRECISIONS.items():
        print(f"{name}: ", end="")
        chosen = [word for setting in (*settings, *options.settings) for word in ("--set", setting)]
        step_speed.main(["--device", "cuda", "--config", options.config, "--pairs", str(options.pairs), *chosen])


if __name__ == "__main__":
    main()

"""What the engine adds to a step: `python -m tests.benchmarks.step_speed`.

The engine's whole step (data, plan, step, norms, guard, journal, TensorBoard, commands) against a bare loop over the
same batches, network, losses, precision and clip with plain PyTorch, in one process, in turns of a few steps; the ratio
is that of each pair of turns, and the median of the pairs is what counts: at most 1.03.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from engine.config.tree import RunConfig
    from engine.runtime.recorder import RunRecorder

TURN = 8
"""Steps in a turn."""


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print the pairs' ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--set", dest="settings", action="append", default=[])
    options = parser.parse_args(words)

    import torch

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as directory:
        ours, bare, close = build(Path(directory), options.config, options.settings, options.device)
        turns = [(timed(ours), timed(bare)) for _ in range(options.pairs + 3)][3:]
        close()
    ratios = sorted(mine / plain for mine, plain in turns)
    mine, plain = (statistics.median(column) / TURN * 1e3 for column in zip(*turns, strict=True))
    low, high = ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]
    print(
        f"{options.config}: engine {mine:.1f} ms, bare {plain:.1f} ms a step, medians of {len(turns)} turns of {TURN}"
    )
    print(f"ratio of pairs: median {statistics.median(ratios):.3f}, quartiles {low:.3f} to {high:.3f}; target 1.03")


def timed(turn: Callable[[], None]) -> float:
    """Seconds that one turn takes."""
    started = time.perf_counter()
    turn()
    return time.perf_counter() - started


def finish(device: str) -> None:
    """Wait until the device has done what was launched on it."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def _begin_recording(directory: Path, config: RunConfig) -> RunRecorder:
    """A recorder into a new journal and TensorBoard's files."""
    from engine.journal.writer import JournalWriter
    from engine.outputs.tensorboard.writer import TensorboardWriter
    from engine.runtime.recorder import RunRecorder
    from engine.runtime.start.bootstrap import initial_state

    journal = JournalWriter(directory)
    journal.start()
    recorder = RunRecorder(initial_state("bench", config), journal, begin=lambda: TensorboardWriter(directory / "tb"))
    recorder.begin()
    return recorder


def _precision(config: RunConfig, device: str) -> tuple[torch.autocast, torch.amp.GradScaler]:
    """Return what gives the bare loop the precision of the run."""
    import torch

    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[config.training.amp_dtype]
    is_mixed = config.training.mixed_precision
    scaler = torch.amp.GradScaler(device, enabled=is_mixed and dtype is torch.float16)
    return torch.autocast(device, dtype, enabled=is_mixed), scaler


def build(
    directory: Path, name: str, settings: Sequence[str], device: str = "cpu"
) -> tuple[Callable[[], None], Callable[[], None], Callable[[], None]]:
    """A turn of the engine, a turn of the bare loop, and what ends both; each has its own network and stream."""
    import torch
    from torch import nn

    from engine.config.load import load_config
    from engine.protocol.events import Activity
    from engine.runtime.host.interrupt import Interrupt
    from engine.runtime.start.bootstrap import RunRequest
    from engine.runtime.start.open_run import open_run
    from engine.tasks.person.config import PersonConfig
    from engine.tasks.person.data.sources import open_splits
    from engine.tasks.person.losses.terms import term_values
    from engine.tasks.person.model.network import HierarchicalUNet
    from engine.tasks.person.spec import active_terms
    from engine.training.data.stream import BatchStream
    from engine.training.device import computing

    quiet = ("checkpoint.every_steps=0", "checkpoint.every_epochs=0", "validation.every_epochs=1000")
    config = load_config(name, [*quiet, *settings])
    assert isinstance(config, PersonConfig)
    kernels, recorder = computing(config.training), _begin_recording(directory, config)
    run = open_run(RunRequest(directory, config, device=device), None, recorder, Interrupt())
    recorder.set_activity(Activity.RUNNING)

    def ours() -> None:
        for _ in range(TURN):
            run.loop.turn()
        finish(device)

    splits = open_splits(config.data, config.model, config.training.seed)
    stream = BatchStream(splits.train, batch_size=config.training.batch_size, num_workers=config.data.num_workers)
    model = HierarchicalUNet(config.model).to(device)
    active = config.model.refinements.active()
    terms = active_terms(active)
    # refinements that are off have no gradient: torch leaves them alone, as we do
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=1e-4, fused=True)
    autocast, scaler = _precision(config, device)

    def bare() -> None:
        for _ in range(TURN):
            batch = stream.next().to(torch.device(device))
            with autocast:
                outputs = model(batch.tensors["image_N3HW"], active)
            values = term_values(
                outputs, batch.tensors["label_NHW"], batch.tensors["distance_N1HW"], terms, config.loss.class_weights
            )
            loss = torch.stack([config.loss.weights[term] * value for term, value in values.items()]).sum()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), config.training.gradient_clip)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        finish(device)

    def close() -> None:
        run.checkpointer.close()
        run.train_state.close()
        stream.close()
        recorder.close()
        kernels.close()

    return ours, bare, close


if __name__ == "__main__":
    main()

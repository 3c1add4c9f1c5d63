"""How fast a train step is, against the published formulation: `python -m tests.benchmarks.network_speed`.

Every variant runs in a process of its own, two threads each, and takes its steps in turn with the others, so that a
busy moment of the machine hits all alike. A step is forward, losses of phase 1, backward and AdamW on four regions at
the published widths. Peak memory is the largest resident size of the process, less what it was before the network was
built.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to compute the step; `target` is the gain over the published formulation it has to reach."""

    trunk_stride: Literal[1, 2] = 1
    published: bool = False
    bf16: bool = False
    channels_last: bool = True
    compiled: bool = False
    target: float = 0.0


VARIANTS = {
    "published": Variant(published=True, channels_last=False),
    "full trunk, fp32": Variant(target=1.35),
    "full trunk, bf16": Variant(bf16=True, target=2.8),
    "half trunk, fp32": Variant(trunk_stride=2, target=5.0),
    "half trunk, bf16": Variant(trunk_stride=2, bf16=True),
}
LAYOUTS = {
    "full trunk, fp32, NCHW": Variant(channels_last=False),
    "full trunk, bf16, NCHW": Variant(bf16=True, channels_last=False),
    "half trunk, fp32, NCHW": Variant(trunk_stride=2, channels_last=False),
    "half trunk, bf16, NCHW": Variant(trunk_stride=2, bf16=True, channels_last=False),
}
COMPILED = {
    "half trunk, fp32, compiled": Variant(trunk_stride=2, compiled=True),
    "half trunk, bf16, compiled": Variant(trunk_stride=2, bf16=True, compiled=True),
}


def train_step(variant: Variant, *, num_rois: int) -> Callable[[], None]:
    """Builds the variant's network and returns a function that takes one step."""
    import torch

    from engine.tasks.person.config import ModelConfig, PersonLossConfig
    from engine.tasks.person.losses.terms import term_values
    from engine.tasks.person.model.network import HierarchicalUNet
    from engine.tasks.person.spec import active_terms, refinements_of
    from tests.benchmarks.published_network import PublishedNetwork

    torch.manual_seed(0)
    config = ModelConfig(trunk_stride=variant.trunk_stride)
    network = PublishedNetwork(config) if variant.published else HierarchicalUNet(config)
    if not variant.channels_last:
        network.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]  (not in the stubs)
    if isinstance(network, HierarchicalUNet) and not variant.channels_last:
        network.memory_format = torch.contiguous_format
    forward = torch.compile(network) if variant.compiled else network
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
    image, label = torch.rand(num_rois, 3, 64, 64), torch.randint(0, 3, (num_rois, 64, 64))
    active, weights = refinements_of(1), PersonLossConfig().weights

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=variant.bf16):
            outputs = forward(image, active)
        values = term_values(outputs, label, torch.zeros(0), active_terms(active))
        loss = sum(weights[term] * value for term, value in values.items())
        assert isinstance(loss, torch.Tensor)
        loss.backward()
        optimizer.step()

    return step


def resident_mib() -> float:
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(name: str, *, threads: int, num_rois: int) -> None:
    """Takes a step for each line read and writes its seconds; at the end writes the peak memory in MiB."""
    import torch

    torch.set_num_threads(threads)
    before = resident_mib()
    step = train_step({**VARIANTS, **LAYOUTS, **COMPILED}[name], num_rois=num_rois)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)
    print(resident_mib() - before, flush=True)


class Worker:
    """A process that takes steps of one variant when told to."""

    def __init__(self, name: str, *, threads: int, num_rois: int) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.network_speed", "--worker", name]
        command += ["--threads", str(threads), "--rois", str(num_rois)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds: list[float] = []

    def step(self, *, counted: bool = True) -> None:
        """One step; a step that is not counted warms up."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        seconds = float(self.process.stdout.readline())
        if counted:
            self.seconds.append(seconds)

    def close(self) -> float:
        """Ends the process; its peak memory in MiB."""
        return float(self.process.communicate()[0])


def table_row(name: str, variant: Variant, *, seconds: list[float], baseline: float, mib: float) -> str:
    """One line of the table."""
    gain = baseline / statistics.median(seconds)
    verdict = (
        "" if not variant.target else f"  target {variant.target}x {'met' if gain >= variant.target else 'MISSED'}"
    )
    return f"{name:<28}{statistics.median(seconds):8.3f}{min(seconds):8.3f}{gain:8.2f}x{mib:8.0f}{verdict}"


def measure(variants: dict[str, Variant], start: Callable[[str], Worker], *, repeats: int) -> list[str]:
    """The table: seconds (median and least) of a step, gain over the first variant, peak memory."""
    workers = {name: start(name) for name in variants}
    for repeat in range(repeats + 2):
        for worker in workers.values():
            worker.step(counted=repeat > 1)
    baseline = statistics.median(next(iter(workers.values())).seconds)
    lines = [f"{'variant':<28}{'median s':>8}{'min s':>8}{'gain':>9}{'MiB':>8}"]
    for name, worker in workers.items():
        lines.append(table_row(name, variants[name], seconds=worker.seconds, baseline=baseline, mib=worker.close()))
    return lines


def main() -> None:
    """Prints the table of what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rois", type=int, default=4)
    parser.add_argument("--layouts", action="store_true", help="the memory layouts side by side")
    parser.add_argument("--compiled", action="store_true", help="torch.compile too; minutes of warming up")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(args.worker, threads=args.threads, num_rois=args.rois)
    variants = VARIANTS | (LAYOUTS if args.layouts else {}) | (COMPILED if args.compiled else {})
    start = partial(Worker, threads=args.threads, num_rois=args.rois)
    print("\n".join(measure(variants, start, repeats=args.repeats)))


if __name__ == "__main__":
    main()

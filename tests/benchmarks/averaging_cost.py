"""What averaged weights and kept batch statistics add to a step: `python -m tests.benchmarks.averaging_cost`.

Steps on noise, with and without averaging in turns, in processor time; then the two additions alone, since they are far
less than the spread of the steps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from engine.config.load import load_config
from engine.runtime.start.bootstrap import initial_state
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.model.network import HierarchicalUNet
from engine.training.gradients.batch_statistics import BatchStatistics
from engine.training.step_plan import plan_for
from tests.small import random_batch, train_step_of


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    config = load_config(options.config, ["training.averaging=ema", "model.norm=batch"])
    assert isinstance(config, PersonConfig)
    model = HierarchicalUNet(config.model)
    train_step, batch = train_step_of(config, model), random_batch(config, num_rois=8)
    averaged = plan_for(1.0, initial_state("bench", config), config)
    plans = (averaged, replace(averaged, averaged=False))
    ratios: list[float] = []
    for number in range(options.pairs):
        order = plans if number % 2 else plans[::-1]
        taken = {
            plan.averaged: milliseconds(lambda plan=plan: train_step.run([batch], plan).resolve(), 2) for plan in order
        }
        ratios.append(taken[True] / taken[False])
    print(f"{options.config}: {sum(p.numel() for p in model.parameters())} parameters")
    spread = f"{min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} pairs"
    print(f"a step with averaging takes {statistics.median(ratios):.3f} times as long as without ({spread})")
    finite, held = torch.tensor(True), BatchStatistics(model)
    print(f"the average alone: {milliseconds(lambda: train_step.average.update(finite), 20):.2f} ms")

    def keep_and_settle() -> None:
        held.keep()
        held.settle(finite)

    print(f"the batch statistics alone: {milliseconds(keep_and_settle, 20):.2f} ms")


def milliseconds(work: Callable[[], object], count: int) -> float:
    """Return the mean of the milliseconds of processor time of `count` calls, after one that is not counted."""
    work()
    began = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - began) / count * 1e3


if __name__ == "__main__":
    main()

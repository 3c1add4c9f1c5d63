"""How soon the published network is lost to its square root, and how surely ours names it where it is planted.

    python -m tests.benchmarks.divergence --data DIR                    both, at the refined recipe's widths
    python -m tests.benchmarks.divergence --data DIR --config tiny --rate 1e-3 --steps 400   narrow: minutes
    python -m tests.benchmarks.divergence --trials 50                   only the planted defect
    python -m tests.benchmarks.divergence --quick                       seconds: few steps and trials, built-in people

Training: every refinement of the refined recipe on, the full rate from the first step, the same samples in the same
order; a step that is not finite is skipped, as published. Naming: the published edge map in our network, a tie planted
in one region; what counts is the operation, its module, its refinement and the region, all right.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from engine.tasks.person.config import PersonConfig
    from engine.training.data.batch import Batch
    from engine.training.step_plan import StepPlan
    from engine.training.train_state import TrainState

REFINED = "rgb_hierarchical_unet_v2_attention_r64m64_refined"


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a fault was named wrongly or a step of ours was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="", help="real people; without it the training part is left out")
    parser.add_argument("--config", default=REFINED, help="whose widths and batch size to take")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rate", type=float, default=1e-4, help="the learning rate, from the first step on")
    parser.add_argument("--minutes", type=float, default=12.0, help="most that each training may take")
    parser.add_argument("--trials", type=int, default=0, help="leave the training out and plant so many defects")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--only", choices=("published", "ours"), default="")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(words)

    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    if options.quick:
        options.config, options.steps, options.trials = "tiny", min(options.steps, 5), 3
    lost = 0 if options.trials and not options.quick else train_both(options)
    wrong = 0 if options.only else name_planted(options, options.trials or 50)
    return 1 if lost or wrong else 0


# --- training ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training went: `first_bad` counts steps from 1, 0 for none."""

    steps: int
    first_bad: int
    num_bad: int
    first_loss: float
    miou: float
    ious: tuple[float, float, float]
    seconds: float


def train_both(options: argparse.Namespace) -> int:
    """Train the published network and ours; returns how many of our steps were lost."""
    if not options.data and not options.quick:
        print("training left out: no --data with real people was given")
        return 0
    if options.data and not Path(options.data).is_dir():
        print(f"training left out: there is no {options.data}")
        return 0
    print("variant     steps  first NaN  lost     share   first loss  mIoU    background target  other   minutes")
    lost = 0
    for name in ("published", "ours"):
        if options.only in ("", name):
            outcome = trained(options, published=name == "published")
            print(row(name, outcome), flush=True)
            lost += outcome.num_bad if name == "ours" else 0
    return lost


def row(name: str, outcome: Outcome) -> str:
    """One line of the table."""
    background, target, other = outcome.ious
    return (
        f"{name:<11} {outcome.steps:<6} {outcome.first_bad or '-'!s:<10} {outcome.num_bad:<8}"
        f" {outcome.num_bad / outcome.steps:<7.2f} {outcome.first_loss:<11.3f} {outcome.miou:<7.3f}"
        f" {background:<10.3f} {target:<7.3f} {other:<7.3f} {outcome.seconds / 60:.1f}"
    )


def trained(options: argparse.Namespace, *, published: bool) -> Outcome:
    """Take the steps, skipping what is not finite, and measure the validation split."""
    import torch

    from engine.runtime.start.bootstrap import initial_state
    from engine.tasks.person.data.sources import open_splits
    from engine.tasks.person.model.network import HierarchicalUNet
    from engine.tasks.person.task import PersonTask
    from engine.training.step_plan import plan_for
    from engine.training.train_state import TrainState

    config = chosen(options)
    state = initial_state("divergence", config)
    torch.manual_seed(config.training.seed)
    with ExitStack() as patches:
        model: Any = HierarchicalUNet(config.model)
        if published:
            model = published_model(config, patches)
        splits = open_splits(config.data, config.model, config.training.seed)
        train_state = TrainState(PersonTask(), config, model, splits, state)
        patches.callback(train_state.close)
        finite: list[bool] = []
        losses: list[float] = []
        started = time.perf_counter()
        while len(finite) < options.steps and time.perf_counter() - started < 60 * options.minutes:
            batches = drawn_from(train_state)
            plan = plan_for(train_state.progress, replace(state, step=len(finite)), config)
            plan = replace(plan, lr=options.rate, clamp_mode="hard" if published else plan.clamp_mode)
            report = train_state.train_step.run(batches, plan).resolve()
            finite.append(report.finite)
            losses.append(report.loss)
            if len(finite) % 20 == 0:
                print(f"  step {len(finite)}: loss {report.loss:.3f}, {finite.count(False)} lost", file=sys.stderr)
        seconds = time.perf_counter() - started
        miou, ious = measured(train_state)
    first_bad = finite.index(False) + 1 if False in finite else 0
    return Outcome(len(finite), first_bad, finite.count(False), losses[0], miou, ious, seconds)


def chosen(options: argparse.Namespace) -> PersonConfig:
    """The configuration: all of the refined recipe's refinements, in full precision."""
    from engine.config.load import load_config
    from engine.tasks.person.config import PersonConfig
    from engine.tasks.person.spec import REFINEMENTS

    on = {name: name != "subpixel_conv" for name in REFINEMENTS}
    settings = [f"model.refinements.{name}={str(value).lower()}" for name, value in on.items()]
    if options.data:
        settings.append(f"data.path={Path(options.data).absolute()}")
    settings += ["training.mixed_precision=false", "training.batch_size=2", "training.gradient_clip=1.0"]
    config = load_config(options.config, settings)
    assert isinstance(config, PersonConfig)
    return config


def published_model(config: PersonConfig, patches: ExitStack) -> Any:
    """The published network, with its edge map and its losses in place of ours until `patches` closes."""
    from engine.tasks.person.model.boundary_refinement import BoundaryRefinement
    from engine.tasks.person.task import PersonTask
    from tests.benchmarks import published_losses
    from tests.benchmarks.published_refined import PublishedRefined

    patches.enter_context(mock.patch.object(BoundaryRefinement, "forward", published_losses.refined))
    patches.enter_context(mock.patch.object(PersonTask, "losses", published_losses.losses))
    return PublishedRefined(config.model)


def drawn_from(train_state: TrainState) -> list[Batch]:
    """Return the batch of the next step."""
    drawn = train_state.draw(1)
    assert drawn is not None
    return drawn.batches


def measured(train_state: TrainState) -> tuple[float, tuple[float, float, float]]:
    """Return mIoU and the three classes' IoU over the validation split."""
    from engine.training.validation.evaluate import evaluate
    from engine.training.validation.result import ValidationPlan

    config = train_state.config
    plan = ValidationPlan(
        active=config.active_components(), weights=config.loss.weights, batch_size=4, num_previews=0, amp=None
    )
    done = evaluate(train_state.train_step.objective, train_state.model, train_state.validation, plan)
    assert done is not None
    found = done.summary.metrics
    return found["miou"], (found["iou_background"], found["iou_target"], found["iou_other"])


# --- naming -----------------------------------------------------------------------------


def name_planted(options: argparse.Namespace, num_trials: int) -> int:
    """Plant the defect so many times; returns how often it was named wrongly."""
    results = [planted(options, seed) for seed in range(num_trials)]
    seconds = sorted(took for _, took, _ in results)
    wrong = [f"seed {seed}: {what}" for seed, (right, _, what) in enumerate(results) if not right]
    print(
        f"planted defect ({options.config}): {num_trials - len(wrong)} of {num_trials} named right;"
        f" from the NaN's report to the name {statistics.median(seconds):.2f} s (median), {seconds[-1]:.2f} s (longest)"
    )
    print("\n".join(wrong) if wrong else f"each as: {results[0][2]}")
    return len(wrong)


def planted(options: argparse.Namespace, seed: int) -> tuple[bool, float, str]:
    """One trial: weights, batch, tied pixels and their region all follow from `seed`."""
    import torch

    from engine.forensics.investigate import Forensics
    from engine.runtime.start.bootstrap import initial_state
    from engine.supervision.run_memory import RunMemory
    from engine.tasks.person.data.sources import open_splits
    from engine.tasks.person.model.boundary_refinement import BoundaryRefinement
    from engine.tasks.person.model.network import HierarchicalUNet
    from engine.tasks.person.task import PersonTask
    from engine.training.step_plan import plan_for
    from engine.training.train_state import TrainState

    base = chosen(options)
    config = base.model_copy(update={"training": base.training.model_copy(update={"seed": seed})})
    state = initial_state("planted", config)
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        model = HierarchicalUNet(config.model)
        splits = open_splits(config.data, config.model, seed)
        train_state = TrainState(PersonTask(), config, model, splits, state)
        stack.callback(train_state.close)
        forensics = Forensics(Path(directory), config, train_state, RunMemory(config, state.spec))

        def plan_of(step: int) -> StepPlan:
            return replace(plan_for(train_state.progress, replace(state, step=step), config), lr=options.rate)

        for step in range(2):
            batches = drawn_from(train_state)
            assert train_state.train_step.run(batches, plan_of(step)).resolve().finite
        batches = drawn_from(train_state)
        row = seed % len(batches[0])
        stack.enter_context(mock.patch.object(BoundaryRefinement, "forward", tied_refiner(seed, row)))
        evidence = forensics.capture(batches, plan_of(2))
        report = train_state.train_step.run(batches, evidence.plan).resolve()
        assert not report.finite and math.isfinite(report.loss)
        started = time.perf_counter()
        found = forensics.investigate(evidence, report)
        took = time.perf_counter() - started
    assert found is not None
    n = found.named
    expected = ("reproduced", "backward", "boundary_refinement", "sqrt", "", "boundary_refinement")
    right = (n.verdict, n.direction, n.module, n.operation, n.term, n.refinement) == expected
    right &= n.sample_ids == (batches[0].sample_ids[row],)
    return right, took, f"{n.verdict}: {n.direction} pass of {n.operation} in {n.module} ({', '.join(n.sample_ids)})"


def tied_refiner(seed: int, row: int) -> Any:
    """The published refiner over probabilities in which a few pixels of region `row` equal both their neighbours."""
    import torch

    from tests.benchmarks.published_losses import edge_map

    def refined(self: Any, log_probs: Any, image: Any, tap: Any) -> Any:
        probs = tap("boundary_refinement", log_probs).exp()
        source = tied_pixels(seed, *probs.shape[-2:])
        flat = probs.flatten(2)
        shared = torch.cat([flat[:row], flat[row : row + 1, :, source], flat[row + 1 :]]).view_as(probs)
        correction = self.correct(torch.cat([shared, image], dim=1)).float()
        return (log_probs + edge_map(shared) * correction).log_softmax(1)

    return refined


def tied_pixels(seed: int, height: int, width: int) -> Any:
    """Where each pixel takes its value from: itself, but for those to the right of and below one to seven others."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    source = torch.arange(height * width)
    for _ in range(1 + seed % 7):
        y, x = (int(torch.randint(0, side - 2, (), generator=generator)) for side in (height, width))
        here = y * width + x
        source[here + 1] = source[here + width] = int(source[here])
    return source


if __name__ == "__main__":
    sys.exit(main())

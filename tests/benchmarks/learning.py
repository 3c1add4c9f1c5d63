"""What recipes reach on real people: each trained by the program itself, its best checkpoint chosen on training images.

    python -m tests.benchmarks.learning --data DIR                          tiny and small, seeds 0 1 2
    python -m tests.benchmarks.learning --data DIR --recipes small small-phase1 --seeds 0 1 2
    python -m tests.benchmarks.learning --data DIR --recipes small --set training.epochs=80
    python -m tests.benchmarks.learning --data DIR --evaluate RUN...        runs that are trained already
    python -m tests.benchmarks.learning --data DIR --evaluate RUN... --in-use   the same, without each setting for use
    python -m tests.benchmarks.learning --data DIR --ablate 24              what each lever of small changes

A part of the training images (--hold-out) is never trained on. The checkpoint that is best there is then measured on
the val split, which the run has not seen. Every number is taken inside the people's boxes. The table has the mean of
the seeds and the largest distance of one from it. `small-phase1` is `small` held at phase 1: the same steps without
the later phases. Runs that are in --runs-dir already are resumed, and what is measured there is not measured again.

--ablate trains short runs of a small network, each lever on in half of them (levers.py), and prints for each lever what
it changes on the held-out images and on val, with the error of that number.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from engine.tasks.person.config import PersonConfig
from tests.benchmarks.levers import LEVERS, SIZES, Effect, design, effects, settings_of

ROOT: Final = Path(__file__).parents[2]

AT_PHASE_1: Final = (
    "autopilot.enabled=false",
    "model.refinements.boundary_refinement=true",
    "model.refinements.boundary_aware_loss=true",
)
Recipe = tuple[str, tuple[str, ...]]
"""A named configuration, and settings in addition."""
RECIPES: Final[dict[str, Recipe]] = {
    "tiny": ("tiny", ()),
    "small": ("small", ()),
    "small-phase1": ("small", AT_PHASE_1),
}

IN_USE: Final = ("as trained", "trained weights", "no flip average", "no minimum of other")
"""How a checkpoint is used; but for the first, without the average of weights or a setting for use."""

COLUMNS: Final = ("miou", "miou_seed", "target_iou", "boundary_f", "iou_background", "iou_target", "iou_other")
HELD: Final = COLUMNS[:4]


def main(words: Sequence[str] | None = None) -> None:
    """Train every recipe with every seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=["tiny", "small"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--hold-out", type=float, default=0.15, help="share of the training images that chooses")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--bf16", choices=["auto", "on", "off"], default="auto", help="auto: if the processor has it")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--runs-dir", type=Path, default=None, help="where runs are kept (a temporary directory)")
    parser.add_argument("--evaluate", nargs="+", type=Path, default=[], metavar="RUN", help="measure these runs only")
    parser.add_argument("--in-use", action="store_true", help="with --evaluate: without each setting for use too")
    parser.add_argument("--ablate", type=int, choices=SIZES, metavar="N", help="the levers, in 20, 24 or 32 runs")
    options = parser.parse_args(words)
    if options.evaluate:
        evaluate(options)
        return
    with tempfile.TemporaryDirectory() as scratch:
        runs_dir = options.runs_dir or Path(scratch)
        if options.ablate:
            print_effects(*ablation(runs_dir, options))
            return
        print_table({recipe: list(all_seeds(recipe, runs_dir, options)) for recipe in options.recipes})


def evaluate(options: argparse.Namespace) -> None:
    """Print the numbers of runs that are trained, or with --in-use their means without each setting for use."""
    if options.in_use:
        print_table({use: [measured(run, options.data, use) for run in options.evaluate] for use in IN_USE})
    else:
        print_table({str(run): [measured(run, options.data)] for run in options.evaluate})


def ablation(runs_dir: Path, options: argparse.Namespace) -> tuple[list[frozenset[str]], list[dict[str, float]]]:
    """Return the levers that are on in each run of the design, and its numbers. The row is the run's seed."""
    rows = design(options.ablate)
    for row, on in enumerate(rows):
        run = runs_dir / f"levers-{row:02}"
        kept = runs_dir / f"{run.name}.json"
        if not kept.exists():
            seconds = train(run, ("small", (*AT_PHASE_1, *settings_of(on))), row, options)
            kept.write_text(json.dumps({"minutes": seconds / 60, **measured(run, options.data)}))
        print(f"{run.name}: {', '.join(sorted(on))}\n    {kept.read_text()}", flush=True)
    return rows, [json.loads((runs_dir / f"levers-{row:02}.json").read_text()) for row in range(len(rows))]


def all_seeds(recipe: str, runs_dir: Path, options: argparse.Namespace) -> Iterable[dict[str, float]]:
    """Yield the numbers of each seed's run, trained before if it is not there."""
    for seed in options.seeds:
        run = runs_dir / f"{recipe}-{seed}"
        seconds = train(run, RECIPES[recipe], seed, options)
        row = {"minutes": seconds / 60, **measured(run, options.data)}
        print(f"{run.name}: " + ", ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
        yield row


def train(run: Path, recipe: Recipe, seed: int, options: argparse.Namespace) -> float:
    """Run `main.py` until the training ends, and return its seconds; a run that is there is resumed."""
    config, settings = recipe
    settings = (
        f"data.hold_out_share={options.hold_out}",
        f"training.threads={options.threads}",
        f"training.mixed_precision={'true' if uses_bf16(options.bf16) else 'false'}",
        *settings,
        *options.settings,
    )
    words = [sys.executable, str(ROOT / "main.py"), "--no-ui", "--quiet", "--runs-dir", str(run.parent)]
    if run.exists():
        words += ["--resume", run.name]
    else:
        words += ["--run", run.name, "--config", config, "--data", options.data, "--seed", str(seed)]
        words += [word for setting in settings for word in ("--set", setting)]
    print(" ".join(words[1:]), flush=True)
    started = time.perf_counter()
    with (run.parent / f"{run.name}.log").open("ab") as log:
        code = subprocess.run(words, cwd=ROOT, stdout=log, stderr=log, check=False).returncode
    if code:
        raise SystemExit(f"{run.name} ended with {code}: see {run.parent / run.name}.log")
    return time.perf_counter() - started


def uses_bf16(choice: str) -> bool:
    """Return whether to train in bf16: it is faster only where the processor computes in it."""
    if choice != "auto":
        return choice == "on"
    flags = Path("/proc/cpuinfo")
    return flags.exists() and any(name in flags.read_text() for name in ("avx512_bf16", "amx_bf16"))


def measured(run: Path, data: str, use: str = "as trained") -> dict[str, float]:
    """Return the scores on the val split of the run's best checkpoint, and those where it was chosen (held_...)."""
    from engine.tasks.person.model.network import HierarchicalUNet
    from engine.training.inference.trained_model import open_trained

    trained = open_trained(run, device="cpu", weights="trained" if use == "trained weights" else None)
    config, network = trained.config, trained.model
    assert isinstance(config, PersonConfig)
    assert isinstance(network, HierarchicalUNet)
    if use == "no flip average":
        network.flip_average = False
    elif use == "no minimum of other":
        network.min_other_share = 0.0
    chosen_on = config.model_copy(update={"data": config.data.model_copy(update={"path": data})})
    on_val = config.model_copy(update={"data": config.data.model_copy(update={"path": data, "hold_out_share": 0.0})})
    held, val = scores(trained, chosen_on), scores(trained, on_val)
    held_out = {f"held_{name}": held[name] for name in HELD}
    return {"step": trained.step, **held_out, **{name: val[name] for name in COLUMNS}}


def scores(trained: Any, config: PersonConfig) -> dict[str, float]:
    """Return the scores of a network on the split that its configuration validates on."""
    import torch

    from engine.task import untapped

    samples = trained.task.open_data(config).val
    sums: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for start in range(0, len(samples), 32):
            rows = [samples.sample(0, index).tensors for index in range(start, min(start + 32, len(samples)))]
            batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
            outputs = trained.task.forward(trained.model, batch, trained.components, untapped)
            for name, value in trained.task.score(outputs, batch, config).items():
                sums[name] = sums[name] + value if name in sums else value
    return trained.task.metrics(sums, len(samples))


def print_table(rows: dict[str, list[dict[str, float]]]) -> None:
    """Print each recipe's means over the seeds, and the largest distance of a seed from them."""
    known = next(iter(rows.values()))[0]
    names = [name for name in ("minutes", "step", *(f"held_{name}" for name in HELD), *COLUMNS) if name in known]
    print("| recipe | runs | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 2) + "|")
    for recipe, runs in rows.items():
        cells = [cell([run[name] for run in runs], whole=name in ("minutes", "step")) for name in names]
        print(f"| {recipe} | {len(runs)} | " + " | ".join(cells) + " |")


def cell(values: list[float], *, whole: bool) -> str:
    """Return the mean of some values, with the largest distance of one from it if there are several."""
    mean = sum(values) / len(values)
    text = f"{mean:.0f}" if whole else f"{mean:.3f}"
    if len(values) == 1:
        return text
    distance = max(abs(value - mean) for value in values)
    return f"{text} ± {distance:.0f}" if whole else f"{text} ± {distance:.3f}"


def print_effects(runs: list[frozenset[str]], rows: list[dict[str, float]]) -> None:
    """Print what each lever changes, and the means of all runs."""
    names = [*(f"held_{name}" for name in HELD), *HELD]
    changes = {name: effects(runs, [row[name] for row in rows]) for name in names}
    print("| lever | in `small` | runs with, without | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 3) + "|")
    for lever in LEVERS:
        found = [changes[name][lever.name] for name in names]
        counts = f"{found[0].num_on}, {found[0].num_off}"
        cells = [change_text(effect) for effect in found]
        print(f"| {lever.name} | {'on' if lever.in_small else 'off'} | {counts} | " + " | ".join(cells) + " |")
    means = [f"{sum(row[name] for row in rows) / len(rows):.3f}" for name in names]
    print(f"| mean of all | | {len(rows)} | " + " | ".join(means) + " |")
    minutes = [row["minutes"] for row in rows]
    print(f"{len(rows)} runs of {rows[0]['step']:.0f} steps, {min(minutes):.1f} to {max(minutes):.1f} minutes each")


def change_text(effect: Effect) -> str:
    """Return a change in thousandths with its error, in bold if it is clear."""
    text = f"{1000 * effect.change:+.0f} ± {1000 * effect.error:.0f}"
    return f"**{text}**" if effect.is_clear else text


if __name__ == "__main__":
    main()

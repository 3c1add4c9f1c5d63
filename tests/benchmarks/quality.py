"""What a training on real people reaches, and what one choice in it is worth.

    python -m tests.benchmarks.quality --data DIR                     the tiny configuration, 20 epochs
    python -m tests.benchmarks.quality --data DIR --published         with the published losses' defects left in
    python -m tests.benchmarks.quality --data DIR --set model.trunk_stride=1
    python -m tests.benchmarks.quality --data DIR --confidently-wrong 20 --set loss.clamp_mode=hard

Prints a row for each validation and the best one; runs of equal seed differ in the named choice alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path


def main(words: Sequence[str] | None = None) -> None:
    """Train one run in a temporary directory and print what it reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="")
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--published", action="store_true", help="the published losses, defects included")
    parser.add_argument("--epsilon", type=float, default=0.0, help="with --published: repair its square root alone")
    parser.add_argument("--confidently-wrong", type=float, default=0.0, metavar="LOGIT", help="start with this bias")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    options = parser.parse_args(words)
    train_and_print(options)


def train_and_print(options: argparse.Namespace) -> None:
    """Run the engine as `main.py --no-ui` does, without its reporter."""
    import torch

    from engine.config.load import load_config
    from engine.runtime.host.interrupt import Interrupt
    from engine.runtime.start.bootstrap import RunRequest
    from engine.runtime.train import train

    if options.threads:
        torch.set_num_threads(options.threads)
    if options.published:
        from tests.benchmarks.published_losses import install

        install(epsilon=options.epsilon)
    if options.confidently_wrong:
        start_wrong(options.confidently_wrong)
    settings = [f"training.epochs={options.epochs}", *options.settings]
    if options.data:
        settings.append(f"data.path={Path(options.data).absolute()}")
    config = load_config(options.config, settings)
    with tempfile.TemporaryDirectory() as directory:
        started = time.perf_counter()
        code = train(RunRequest(Path(directory), config), Interrupt())
        print_rows(Path(directory), time.perf_counter() - started, code)


def start_wrong(logit: float) -> None:
    """Let every network begin sure of the background: most persons' pixels then cost about `logit` nats."""
    import torch

    from engine.tasks.person.model.network import HierarchicalUNet

    build = HierarchicalUNet.__init__

    def built(self: HierarchicalUNet, config: object) -> None:
        build(self, config)  # type: ignore[arg-type]
        last = [m for m in self.foreground.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))][-1]
        assert last.bias is not None
        with torch.no_grad():
            last.bias[0] += logit

    HierarchicalUNet.__init__ = built  # type: ignore[method-assign]


def print_rows(directory: Path, seconds: float, code: int) -> None:
    """One line per validation, then the best and what was lost."""
    from engine.journal.reader import JournalReader

    keys = ("val/miou", "val/iou_background", "val/iou_target", "val/iou_other", "val/boundary_f")
    with closing(JournalReader(directory)) as reader:
        names = [key for key in keys if key in reader.metric_names()]
        series = reader.series(
            (*names, "loss/total", "loss_raw/boundary_aware", "clamp_hits/boundary_aware", "skipped")
        )
        state = reader.state()
    rows = series.present["val/miou"].nonzero()[0] if names else []
    print("step   " + "  ".join(f"{key[4:]:>14}" for key in names))
    for row in rows:
        print(f"{series.steps[row]:<6} " + "  ".join(f"{series.values[key][row]:14.4f}" for key in names))
    best = max(rows, key=lambda row: series.values["val/miou"][row], default=None)
    if best is not None:
        print("best   " + "  ".join(f"{series.values[key][best]:14.4f}" for key in names))
    first = series.values["loss/total"][series.present["loss/total"]][:1]
    raw = series.values["loss_raw/boundary_aware"][series.present["loss_raw/boundary_aware"]]
    hits = series.values["clamp_hits/boundary_aware"][series.present["clamp_hits/boundary_aware"]].sum()
    skipped = state.skipped_steps if state else -1
    steps = state.step if state else -1
    print(
        f"exit {code}, {steps} steps in {seconds:.0f} s, first loss {first}, skipped {skipped}, clamp hits {hits:.0f}"
    )
    print("boundary_aware every 20 steps: " + " ".join(f"{value:.2f}" for value in raw[:200:20]))


if __name__ == "__main__":
    main()

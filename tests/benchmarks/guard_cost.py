"""What the guards add to a step: `python -m tests.benchmarks.guard_cost`.

Two engines on the same configuration in one process, in turns of a few steps. One has every guard: norms by part,
finite flags, checks of weights and moments, gradient shares, the watch's spikes and alerts, evidence for a replay. The
other takes the same steps with the norm of the whole gradient for its clip and nothing else. The ratio is that of each
pair of turns, and the median of the pairs is what counts: at most 1.02. `--governor` and `--adaptive-clip` switch those
on too. With `--layers` both have every guard, and one measures its layers at every step: the cost of one measurement.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.config.load import load_config
from engine.config.sections import LayersConfig
from engine.config.tree import RunConfig
from engine.forensics.capture import Evidence, RandomState, random_state
from engine.forensics.investigate import Forensics
from engine.journal.writer import JournalWriter
from engine.protocol.events import Activity, Event
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.recorder import RunRecorder
from engine.runtime.start.bootstrap import RunRequest, initial_state
from engine.runtime.start.open_run import OpenRun, open_run
from engine.supervision.monitors import MonitorSuite
from engine.training.data.batch import Batch
from engine.training.step import TrainStep, _Measured  # pyright: ignore[reportPrivateUsage]
from engine.training.step_plan import StepPlan

TURN = 10
"""Steps in a turn: each has one check of weights and moments and one measurement of shares."""
QUIET = ("checkpoint.every_steps=0", "checkpoint.every_epochs=0", "validation.every_epochs=1000")
OFF = (
    "guard.share_every_steps=0",
    "guard.check_weights_every=1000000",
    "guard.adaptive_clip=off",
    "layers.every_steps=0",
)


class UnguardedStep(TrainStep):
    """Clips by the norm of the whole gradient and updates without a check."""

    def _measure(self) -> _Measured:
        grads = [p.grad for params in self._parts.values() for p in params if p.grad is not None]
        norms = torch._foreach_norm(grads)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        norm = torch.stack(norms).square().sum().sqrt()
        return _Measured(("all",), grads, norm[None], norm.repeat(2))

    def _check_state(self, plan: StepPlan) -> tuple[tuple[str, ...], Tensor]:
        return (), torch.zeros(0, device=self.device)

    def _update(self, finite: Tensor, scale: Tensor) -> None:
        kernel: Any = self.optimizer
        kernel.grad_scale, kernel.found_inf = scale, None
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class BlindMonitors(MonitorSuite):
    """Monitors without statistics, events and alerts."""

    def observe(
        self, number: int, metrics: Mapping[str, float], state: RunState, *, seconds: float
    ) -> tuple[Event, ...]:
        """Return no events."""
        return ()


@record
class BlindForensics(Forensics):
    """Does not read the random state of any step; `random` takes its place."""

    random: RandomState

    def capture(self, batches: list[Batch], plan: StepPlan) -> Evidence:
        """Return what the loop reads of a step that it has launched."""
        return Evidence(plan, tuple(batches), self.random, 1.0, self.train_state.train_step.amp)


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print the pairs' ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--governor", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--adaptive-clip", choices=("off", "zclip", "agc"), default="off")
    parser.add_argument("--layers", action="store_true", help="compare a step with a measurement of the layers")
    parser.add_argument("--cpu", action="store_true", help="count processor time: on a machine with other work to do")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    options = parser.parse_args(words)
    torch.set_num_threads(options.threads)
    guards = (f"guard.max_grad_share={options.governor}", f"guard.adaptive_clip={options.adaptive_clip}")
    at_all, at_none = (["layers.every_steps=1"], ["layers.every_steps=0"]) if options.layers else ([], [])
    with ExitStack() as stack:
        more = [*QUIET, *options.settings, *guards, *at_all]
        guarded = stack.enter_context(engine(load_config(options.config, more)))
        less = [*QUIET, *options.settings, *(guards if options.layers else OFF), *at_none]
        bare = stack.enter_context(engine(load_config(options.config, less), blind=not options.layers))
        clock = time.process_time if options.cpu else time.perf_counter
        turns = [(timed(guarded, clock), timed(bare, clock)) for _ in range(options.pairs + 3)][3:]
    ratios = sorted(mine / plain for mine, plain in turns)
    mine, plain = (statistics.median(column) / TURN * 1e3 for column in zip(*turns, strict=True))
    if options.layers:
        every = LayersConfig().every_steps
        share = (mine - plain) / plain / every
        print(f"{options.config}: a measurement of the layers takes {mine - plain:.1f} ms of {plain:.1f} ms a step")
        print(f"every {every} steps: {share:.2%} of a step; target 1 %")
        return
    low, high = ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]
    print(f"{options.config}: guarded {mine:.1f} ms, bare {plain:.1f} ms a step, {len(turns)} pairs of {TURN} steps")
    print(f"ratio of pairs: median {statistics.median(ratios):.3f}, quartiles {low:.3f} to {high:.3f}; target 1.02")


def timed(turn: Callable[[], None], clock: Callable[[], float]) -> float:
    """Seconds that one turn takes."""
    started = clock()
    turn()
    return clock() - started


@contextmanager
def engine(config: RunConfig, *, blind: bool = False) -> Generator[Callable[[], None]]:
    """A turn of an engine in a directory of its own, with its guards taken out if `blind`."""
    with tempfile.TemporaryDirectory() as directory:
        journal = JournalWriter(Path(directory))
        journal.start()
        recorder = RunRecorder(initial_state("bench", config), journal)
        run = open_run(RunRequest(Path(directory), config), None, recorder, Interrupt())
        recorder.set_activity(Activity.RUNNING)
        if blind:
            take_out_guards(run, config)

        def turn() -> None:
            for _ in range(TURN):
                run.loop.turn()

        yield turn
        run.checkpointer.close()
        run.train_state.close()
        recorder.close()


def take_out_guards(run: OpenRun, config: RunConfig) -> None:
    """Leave data, plan, forward, losses, backward, clip, update and journal."""
    state, monitor = run.train_state, run.loop._step_monitor  # pyright: ignore[reportPrivateUsage]
    step, memory = state.train_step, monitor.faults.forensics.memory
    state.train_step = UnguardedStep(step.objective, state.model, step.optimizer, amp=step.amp)
    memory.watch = BlindMonitors(config, state.task.spec)
    monitor.faults.forensics = BlindForensics(
        monitor.faults.forensics.run_dir, config, state, memory, random_state(step.device)
    )


if __name__ == "__main__":
    main()

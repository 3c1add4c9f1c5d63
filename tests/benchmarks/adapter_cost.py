"""Cost of the cockpit in an existing loop: `python -m tests.benchmarks.adapter_cost`.

Two equal trainings in one process take turns: a bare loop, and the same loop with the five lines of the cockpit, its
batches through `steps` and its loss through `loss`. A turn of the cockpit ends when all its steps are recorded. Steps
take about 1, 10 and 100 ms. Reported are the medians over the pairs of turns: milliseconds of a bare step, microseconds
that a step of the cockpit takes longer, and that as a share. The bounds: 1 % of a step of 10 ms, and 50 microseconds.

`--steps SECONDS` compares single steps instead, which is robust where other programs disturb some of them. With
`--kind huggingface` or `--kind lightning` these are steps of that trainer with and without the cockpit's callback.
`--sizes` chooses the lengths of steps. 11 is for one thread: its steps take 10 ms there, and those of 10 take 6 ms.
`--cpu` measures processor time on a busy machine: that of the training's thread, and that of the whole process with the
cockpit's own threads. `--device cuda` measures on a GPU, where a turn ends when the device has finished it: what the
host does meanwhile costs nothing. `--peer traceml` and `--peer hotcb` measure these packages in the same way, in place
of the cockpit, if they are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cockpit import Cockpit
from engine.adapters.run.attached_run import AttachedRun
from tests.benchmarks.step_speed import finish
from tests.benchmarks.trainer_turns import TURNS

SIZES = {1: (64, 48), 10: (192, 512), 11: (192, 880), 100: (384, 2048)}
"""Width and batch size of steps that take about as many milliseconds on two cores; 11 ones take 10 on one."""
GPU_SIZES = {1: (1024, 1024), 10: (4096, 1024), 100: (4096, 10240)}
"""The same in full precision on a large GPU."""
USUAL_SIZES = (1, 10, 100)
FUSED: ContextVar[bool | None] = ContextVar("fused", default=None)
"""Whether the optimizer is fused; `None` for torch's choice, which is not."""
TURN_SECONDS = 0.5


@dataclass(frozen=True)
class Training:
    """A network, its optimizer and one batch, used in every step."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    x: Tensor
    y: Tensor

    def loss(self) -> Tensor:
        """Return the loss of the batch."""
        return nn.functional.cross_entropy(self.model(self.x), self.y)

    def finish(self, loss: Tensor) -> None:
        """Do the rest of a step."""
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def training(milliseconds: int, device: str = "cpu") -> Training:
    """Return a training whose steps take about as many milliseconds."""
    width, batch = (SIZES if device == "cpu" else GPU_SIZES)[milliseconds]
    torch.manual_seed(0)
    layers = [part for _ in range(4) for part in (nn.Linear(width, width), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(width, 10)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=FUSED.get())
    return Training(
        model, optimizer, torch.randn(batch, width, device=device), torch.randint(10, (batch,), device=device)
    )


Turn = Callable[[int], None]
"""Takes as many steps."""


def bare(one: Training) -> Turn:
    """Return turns of the loop alone."""

    def turn(num_steps: int) -> None:
        for _ in range(num_steps):
            one.finish(one.loss())

    return turn


@contextlib.contextmanager
def with_cockpit(one: Training, *, settles: bool = True) -> Generator[Turn]:
    """Yield turns of the loop with the cockpit; unless it `settles`, its own thread records the steps when it does."""
    with tempfile.TemporaryDirectory() as runs, contextlib.redirect_stderr(io.StringIO()):
        cockpit = Cockpit(one.model, one.optimizer, run="cost", runs_dir=runs)
        records = cockpit._run  # pyright: ignore[reportPrivateUsage] - a turn ends when its steps are recorded
        assert isinstance(records, AttachedRun)

        batches = cockpit.steps(itertools.repeat((one.x, one.y)))  # one epoch: its checkpoint is no cost of a step

        def turn(num_steps: int) -> None:
            for _ in itertools.islice(batches, num_steps):
                one.finish(cockpit.loss({"ce": one.loss()}))
            if settles:
                records.settle()

        with contextlib.closing(cockpit):
            yield turn


@contextlib.contextmanager
def with_traceml(one: Training) -> Generator[Turn]:
    """Yield turns of the loop with TraceML's context manager around each step."""
    traceml: Any = import_module("traceml_ai")
    traceml.init(mode="auto")

    def turn(num_steps: int) -> None:
        for _ in range(num_steps):
            with traceml.trace_step(one.model):
                one.finish(one.loss())

    yield turn


@contextlib.contextmanager
def with_hotcb(one: Training) -> Generator[Turn]:
    """Yield turns of the loop with hotcb's controller, which gets the names at each step."""
    controller_class: Any = import_module("hotcb").HotController
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "hotcb.yaml"
        config.write_text("callbacks: {}\n")
        controller = controller_class(config_path=str(config), commands_path=str(config.with_suffix(".jsonl")))
        step = 0

        def turn(num_steps: int) -> None:
            nonlocal step
            for _ in range(num_steps):
                loss = one.loss()
                one.finish(loss)
                step += 1
                environment = {"step": step, "epoch": 0, "model": one.model, "optimizer": one.optimizer, "loss": loss}
                controller.apply(environment, ["train_batch_end"])

        yield turn


PEERS = {"cockpit": with_cockpit, "traceml": with_traceml, "hotcb": with_hotcb}


def measure(
    milliseconds: int, num_pairs: int, peer: str, clock: Callable[[], float] = time.perf_counter, device: str = "cpu"
) -> tuple[float, float]:
    """Return the medians over pairs: seconds of a bare step, and seconds that a step of the peer takes longer."""
    plain = bare(training(milliseconds, device))
    num_steps = max(5, round(TURN_SECONDS * 1000 / milliseconds))
    steps: list[float] = []
    extras: list[float] = []
    with PEERS[peer](training(milliseconds, device)) as watched:
        for turn in (plain, watched):
            turn(num_steps)
            finish(device)
        for number in range(num_pairs):
            seconds: dict[str, float] = {}
            order = (("bare", plain), ("watched", watched))
            for name, turn in order if number % 2 else reversed(order):
                began = clock()
                turn(num_steps)
                finish(device)
                seconds[name] = (clock() - began) / num_steps
            steps.append(seconds["bare"])
            extras.append(seconds["watched"] - seconds["bare"])
    return statistics.median(steps), statistics.median(extras)


def measure_steps(milliseconds: int, seconds: float) -> tuple[list[float], list[float]]:
    """Return the times of single steps of the training's thread, sorted: of a bare loop, and with the cockpit.

    Blocks of both take turns; the first step of a block is left out. Quantiles leave out steps that were disturbed.
    """
    plain = bare(training(milliseconds))
    backward = torch.autograd.backward
    with with_cockpit(training(milliseconds), settles=False) as watched:
        found: dict[Turn, list[float]] = {plain: [], watched: []}
        patched = torch.autograd.backward
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for turn, times in found.items():
                torch.autograd.backward = patched if turn is watched else backward  # the bare loop runs torch's own
                turn(1)
                for _ in range(8):
                    began = time.perf_counter()
                    turn(1)
                    times.append(time.perf_counter() - began)
        torch.autograd.backward = patched
    return sorted(found[plain]), sorted(found[watched])


def measure_trainer(kind: str, milliseconds: int, seconds: float) -> tuple[list[float], list[float]]:
    """Return the times of single steps of a trainer, sorted: without and with the callback. Both take turns."""
    num_steps = max(40, round(TURN_SECONDS * 1000 / milliseconds))
    found: dict[bool, list[float]] = {False: [], True: []}
    made = {is_watched: training(milliseconds) for is_watched in found}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for is_watched, times in found.items():
            one = made[is_watched]
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                times.extend(TURNS[kind](one.model, one.x, one.y, num_steps, watched=is_watched))
    return sorted(found[False]), sorted(found[True])


def print_steps(kind: str, sizes: Sequence[int], seconds: float) -> None:
    """Print the cost of single steps at the first tenth and at the median."""
    for milliseconds in sizes:
        if kind in TURNS:
            plain, watched = measure_trainer(kind, milliseconds, seconds)
        else:
            plain, watched = measure_steps(milliseconds, seconds)
        for name, share in (("p10", 0.1), ("p50", 0.5)):
            step, extra = plain[int(share * len(plain))], watched[int(share * len(watched))]
            extra -= step
            print(f"{name:8}step {step * 1e3:7.2f} ms   longer by {extra * 1e6:7.1f} us   {len(watched)} steps")
            sys.stdout.flush()


def main() -> None:
    """Print the cost at each length of a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30, help="pairs of turns")
    parser.add_argument("--peer", choices=list(PEERS), default="cockpit")
    parser.add_argument("--cpu", action="store_true", help="measure processor time")
    parser.add_argument("--steps", type=float, metavar="SECONDS", help="compare single steps for as long at each size")
    parser.add_argument("--kind", choices=["loop", *TURNS], default="loop", help="what trains, with --steps")
    parser.add_argument("--sizes", type=int, choices=list(SIZES), nargs="+", default=USUAL_SIZES, metavar="MS")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--fused", action="store_true", help="let the optimizer be fused")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="not with --steps")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    FUSED.set(options.fused or None)
    if options.steps:
        print_steps(options.kind, options.sizes, options.steps)
        return
    clocks = {"thread": time.thread_time, "process": time.process_time} if options.cpu else {"wall": time.perf_counter}
    print(f"{options.peer}, torch {torch.__version__}, {torch.get_num_threads()} threads, {options.pairs} pairs")
    for milliseconds in options.sizes:
        for name, clock in clocks.items():
            step, extra = measure(milliseconds, options.pairs, options.peer, clock, options.device)
            print(f"{name:8}step {step * 1e3:7.2f} ms   longer by {extra * 1e6:7.1f} us   {extra / step:7.2%}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

"""An own loop in each of two processes, as strangers write it, and what each has to say at its end."""

from __future__ import annotations

import json
import math
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from cockpit import Cockpit
from engine.protocol import commands as c
from tests.adapters.own_loop import state_of
from tests.adapters.remote import notice
from tests.conftest import ROOT
from tests.ddp.ranks import fork_context, port_of, reserve_port

WORLD = 2


class Fragile(nn.Module):
    """A ReLU that can be made to take the logarithm of numbers below 0."""

    is_broken = False

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(-x.abs() - 1.0) if self.is_broken else x.relu()


@dataclass
class Loop:
    """A training of one process. Gradients are averaged by DistributedDataParallel, or here if not `averaged` by it."""

    averaged: bool = True
    at: Callable[[Loop, Cockpit], object] = lambda loop, cockpit: None
    spoil: Callable[[Loop], object] = lambda loop: None
    rates: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.plain = nn.Sequential(nn.Linear(4, 8), Fragile(), nn.Dropout(0.2), nn.Linear(8, 2))
        self.model = DistributedDataParallel(self.plain) if self.averaged else self.plain
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01)
        torch.manual_seed(dist.get_rank() + 1)
        inputs = torch.randn(24, 4)
        self.loader = DataLoader(TensorDataset(inputs, (inputs[:, 0] > 0).long()), batch_size=4, shuffle=True)

    def train(self, runs: Path, name: str, epochs: int = 100_000, **options: Any) -> Cockpit:
        """Train under the name `name`, and return the cockpit. The terms of the loss are `error` and `size`."""
        options = {"run": name, "runs_dir": runs, **options}
        with Cockpit(self.model, self.optimizer, **options) as cockpit:
            self.knob = cockpit.knob("noise", 0.1 * (1 + dist.get_rank()), low=0.0, high=1.0)
            self.optimizer.register_step_pre_hook(self._note_rate)
            for _ in cockpit.epochs(epochs):
                for x, y in cockpit.steps(self.loader):
                    self.at(self, cockpit)
                    out = self.model(x)
                    terms = {"error": nn.functional.cross_entropy(out, y), "size": out.square().mean()}
                    cockpit.loss(terms).backward()
                    if not self.averaged:
                        self._average()
                    self.optimizer.step()
                    self.optimizer.zero_grad()
                cockpit.validated(accuracy=0.5)
        return cockpit

    def _note_rate(self, optimizer: Any, *_: Any) -> None:
        """Note the rate in force; this hook comes after those of the cockpit."""
        self.rates.append(float(optimizer.param_groups[0]["lr"]))

    def _average(self) -> None:
        """Average the gradients over the processes. What `spoil` does to them happens in one process alone."""
        for parameter in self.plain.parameters():
            assert parameter.grad is not None
            dist.all_reduce(parameter.grad)
            parameter.grad /= WORLD
        self.spoil(self)

    def print(self) -> str:
        """Return a fingerprint of weights and moments."""
        held: list[Tensor] = [p.detach() for p in self.plain.parameters()]
        held += [self.optimizer.state[p][name] for p in self.plain.parameters() for name in ("exp_avg", "exp_avg_sq")]
        return sha256(b"".join(tensor.numpy().tobytes() for tensor in held)).hexdigest()


BAD_STEP = 9


def steered(folder: Path) -> Mapping[str, Any]:
    """Train until a stop; rank 1 has a batch that is not finite."""

    def spoil(loop: Loop, cockpit: Cockpit) -> None:
        inputs = loop.loader.dataset.tensors[0]  # type: ignore[attr-defined]
        if cockpit.step == BAD_STEP - 2 and dist.get_rank() == 1:
            inputs.mul_(math.nan)  # of the next batch
        elif cockpit.step == BAD_STEP - 1:
            inputs.nan_to_num_(0.5)

    loop = Loop(at=spoil)
    cockpit = loop.train(folder, "one")
    numbers = {"print": loop.print(), "step": cockpit.step, "knob": loop.knob(), "directory": str(cockpit.directory)}
    return {**numbers, "weights": dict(cockpit._run.loss_weights), "rate": loop.rates[-1], "count": len(loop.rates)}


def unsteered(folder: Path) -> Mapping[str, Any]:
    """Train several short runs, one after the other."""
    return {scenario.__name__: scenario(folder) for scenario in SCENARIOS}


def shown(folder: Path) -> list[float]:
    """Run the example of the manual, resumed after two of three epochs, and return what rank 0 has recorded."""
    main: Any = runpy.run_path(str(ROOT / "cockpit/docs/examples/own_loop_ranks.py"))["main"]
    main("shown", epochs=2)
    main("shown", epochs=3, resume=True)
    state = state_of(folder / "runs" / "shown") if dist.get_rank() == 0 else None
    return [] if state is None else [float(state.step), float(state.knobs["noise"].value)]


def resumed(folder: Path) -> list[str]:
    """Return the ends of a training of three epochs, and of one that was stopped within the second and resumed."""

    def stop(loop: Loop, cockpit: Cockpit) -> None:
        if cockpit.step == 8 and dist.get_rank() == 0:
            notice(cockpit.directory, cockpit._run, c.Stop())  # type: ignore[arg-type]

    straight = Loop()
    straight.train(folder, "straight", epochs=3)
    between = Loop(at=stop).train(folder, "resumed", epochs=3).step
    after = Loop()
    torch.manual_seed(77)  # the checkpoint has the generators of each process
    cockpit = after.train(folder, "resumed", epochs=3, resume=True)
    return [straight.print(), after.print(), str(between), str(cockpit.step)]


def unwrapped(folder: Path) -> dict[str, Any]:
    """Return the end of a training without a wrapper; a gradient of rank 1 alone is not finite at step 3."""

    def spoil(loop: Loop) -> None:
        if len(loop.rates) == 2 and dist.get_rank() == 1:
            next(loop.plain.parameters()).grad[0, 0] = math.nan  # type: ignore[index]

    loop = Loop(averaged=False, spoil=spoil)
    cockpit = loop.train(folder, "unwrapped", epochs=1)
    finite = all(bool(p.isfinite().all()) for p in loop.plain.parameters())
    return {"print": loop.print(), "step": cockpit.step, "finite": finite}


def named(folder: Path) -> dict[str, Any]:
    """Return the end of a training in which a layer of rank 1 alone is not finite at steps 4 and 5."""

    def spoil(loop: Loop, cockpit: Cockpit) -> None:
        if dist.get_rank() == 1 and cockpit.step in (3, 5):
            loop.plain[1].is_broken = cockpit.step == 3  # type: ignore[assignment]

    loop = Loop(at=spoil)
    cockpit = loop.train(folder, "named", epochs=2)
    return {"print": loop.print(), "step": cockpit.step}


def faulty(folder: Path) -> dict[str, Any]:
    """Return the end of a training in which the cockpit has a fault in rank 1, after the rate was halved."""
    os.environ.pop("TRAINING_COCKPIT_RAISE")

    def fail(loop: Loop, cockpit: Cockpit) -> None:
        rank = dist.get_rank()
        if rank == 0 and cockpit.step == 3:
            notice(cockpit.directory, cockpit._run, c.ScaleLr(0.5))  # type: ignore[arg-type]
        if rank == 1 and cockpit.step == 8:
            cockpit._hooks.readers[0].read = lambda: 1 / 0  # type: ignore[assignment, method-assign, return-value]
        until = time.monotonic() + 30
        while rank == 0 and cockpit.step == 12 and cockpit._ranks.fault is None and time.monotonic() < until:  # type: ignore[union-attr]
            time.sleep(0.01)  # until the cockpit's thread of rank 0 has heard of it

    loop = Loop(at=fail)
    loop.train(folder, "faulty", epochs=6)
    os.environ["TRAINING_COCKPIT_RAISE"] = "1"
    return {"print": loop.print(), "rates": loop.rates}


def refused(folder: Path) -> str:
    """Return why no process can begin if one of them cannot."""
    loop = Loop()
    if dist.get_rank():
        loop.optimizer = SimpleNamespace()  # type: ignore[assignment]
    try:
        loop.train(folder, "refused")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def failed(folder: Path) -> str:
    """Return the error that ends the training of rank 1."""

    def fail(loop: Loop, cockpit: Cockpit) -> None:
        if cockpit.step == 2 and dist.get_rank() == 1:
            raise ValueError("the data of rank 1 are odd")
        if cockpit.step == 2:
            until = time.monotonic() + 30
            while not cockpit._run.is_over and time.monotonic() < until:
                time.sleep(0.01)
            raise KeyboardInterrupt  # what the launcher does to the others

    try:
        Loop(averaged=False, at=fail).train(folder, "failed")
    except (ValueError, KeyboardInterrupt) as error:
        return type(error).__name__
    return ""


SCENARIOS = (shown, resumed, unwrapped, named, faulty, refused, failed)
Scenario = Callable[[Path], Mapping[str, Any]]


def run_together(folder: Path, scenario: Scenario, meanwhile: Callable[[], object] = lambda: None) -> list[Any]:
    """Run `scenario` in two connected processes, and return what each returned; `meanwhile` runs in this one.

    A scenario that raises makes the test fail with its traceback.
    """
    context = fork_context()
    held = reserve_port()
    arguments = [(rank, port_of(held), folder, scenario) for rank in range(WORLD)]
    processes = [context.Process(target=_be_rank, args=those) for those in arguments]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    for process in processes:
        process.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        meanwhile()
        for process in processes:
            process.join(90)
    finally:
        for process in processes:
            process.kill()
        held.close()
    found: Sequence[Any] = [json.loads((folder / f"{rank}.json").read_text("utf-8")) for rank in range(WORLD)]
    for rank, said in enumerate(found):
        assert "error" not in said, f"rank {rank}: {said['error']}"
    return list(found)


def _be_rank(rank: int, port: int, folder: Path, scenario: Scenario) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(WORLD), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["TRAINING_COCKPIT_RAISE"] = "1"
    os.chdir(folder)
    torch.set_num_threads(1)
    try:
        dist.init_process_group("gloo")
        found = dict(scenario(folder))
    except BaseException:
        found = {"error": traceback.format_exc()}
    (folder / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)

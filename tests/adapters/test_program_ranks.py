"""`run` and programs of several processes: all hold, go on and let go together."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from engine.adapters.child.link import GONE, Link
from engine.adapters.programs.command import Program, command_of
from engine.adapters.programs.program import run_program
from engine.journal.disk.new_run import create_run
from engine.journal.sender import Sender
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.events import Activity, Status
from engine.runtime.host.interrupt import Interrupt
from tests.adapters.own_loop import entries, events, rows, state_of
from tests.adapters.watched_program import Steering, holds, script, until


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return the directory of a new run."""
    return create_run(tmp_path / "runs", "one")


RANKS = """
import os, time, torch, torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
dist.init_process_group("gloo")
torch.set_num_threads(1)
torch.manual_seed(0)
network, kind = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), os.environ["KIND"]
if kind == "fully_shard":
    model = fully_shard(network, mesh=init_device_mesh("cpu", (2,)))
elif kind == "FSDP":
    model = FullyShardedDataParallel(network, device_id=torch.device("cpu"), use_orig_params=True)
else:
    model = nn.parallel.DistributedDataParallel(network)
if kind == "ZeRO":
    optimizer = ZeroRedundancyOptimizer(model.parameters(), optimizer_class=torch.optim.SGD, lr=1e-2)
else:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
rank, steps, last = dist.get_rank(), 0, list(model.parameters())[-1]
torch.manual_seed(rank)
def part(tensor):
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor
try:
    while steps < 100_000:
        x = torch.randn(8, 4)
        if steps == 8 and rank == 1:
            x[0] = float("nan")
        loss = nn.functional.cross_entropy(model(x), torch.randint(2, (8,)))
        optimizer.zero_grad()
        loss.backward()
        if steps == 6 and (kind in ("DDP", "ZeRO") or rank == 1):
            part(last.grad)[0] = float("nan")  # of a divided network the part of one process alone
        steps += 1
        optimizer.step()
        time.sleep(0.005)
finally:
    with open(f"{os.environ['OUT']}{rank}", "w") as out:
        whole = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in model.parameters()]
        print(steps, [p.tolist() for p in whole] if kind != "FSDP" else [], file=out)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["DDP", "ZeRO", "FSDP", "fully_shard"])
def test_ranks_started_by_torchrun_are_steered_together(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Each rank leaves out a step that is not finite in one, and all obey each command after the same step."""
    monkeypatch.setenv("OUT", str(tmp_path / "rank"))
    monkeypatch.setenv("KIND", kind)
    torchrun = Path(sys.executable).parent / "torchrun"
    command = command_of(["--", str(torchrun), "--nproc-per-node", "2", script(tmp_path, RANKS)])
    plan: list[tuple[Callable[..., bool], Command]] = [
        (lambda state: state.step >= 12, c.ScaleLr(0.5)),
        (lambda state: state.lr == 0.005, c.SetGradientClip(0.01)),
        (lambda state: state.gradient_clip == 0.01, c.RunSteps(3)),
        (lambda state: state.activity is Activity.PAUSED, c.SetLr(0.002)),
        (lambda state: state.activity is Activity.PAUSED and state.lr == 0.002, c.Resume()),
        (lambda state: state.activity is Activity.RUNNING and state.lr == 0.002, c.AddNote("together")),
        (lambda state: state.activity is Activity.RUNNING and state.lr == 0.002, c.Stop()),
    ]
    Steering(directory, plan).start()
    assert run_program(Program(command, directory), Interrupt()) == 0
    state = state_of(directory)
    assert state.activity is Activity.FINISHED
    first, second = events(directory, e.StepSkipped)
    assert first.modules == ("2.bias",) and "0.weight" in second.modules
    answers = [entry for entry in entries(directory) if entry.command_id]
    assert [entry.status for entry in answers] == [Status.APPLIED] * len(plan)
    assert answers[3].step == answers[2].step + 3, "three granted steps, and no more"
    ends = [(tmp_path / f"rank{rank}").read_text() for rank in range(2)]
    assert ends[0] == ends[1], "the same number of steps, and the same weights"
    assert ends[0].startswith(f"{state.step} [") and "nan" not in ends[0]
    assert rows(directory)[1]["grad_norm/total"] == pytest.approx(0.3840, abs=1e-4), "that of all gradients"


@pytest.fixture
def program_of_ranks(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[..., Link]]:
    """Return a function that connects a process of a program: its rank, and how many there are, here and in all."""
    started: queue.Queue[tuple[str, subprocess.Popen[bytes]]] = queue.Queue()

    def start(_: Program, address: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        started.put((address, child))
        return child

    monkeypatch.setattr("engine.adapters.programs.program.start_child", start)
    program = Program(command_of(["--", "cat"]), directory)
    running = threading.Thread(target=run_program, args=(program, Interrupt()))
    running.start()
    address, process = started.get(timeout=30)
    links: list[Link] = []

    def connect(rank: int, *, nearby: int = 2) -> Link:
        about = {"device": "cpu", "threads": 1, "parameters": 1, "rates": [0.1]}
        link = Link(address, {"rank": rank, "world": 2, "nearby": nearby, **about})
        links.append(link)
        return link

    yield connect
    for link in links:
        link.close()
    assert process.stdin is not None
    process.stdin.close()
    running.join(30)


def test_ranks_hold_at_the_step_that_rank_0_announces(program_of_ranks: Callable[..., Link], directory: Path) -> None:
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(program_of_ranks, (0, 1))
        assert first.control["together"] and second.control["together"]
        with closing(Sender(directory)) as sender:
            sender.send(c.ScaleLr(0.5), "test")
        until(lambda: first.is_asked)
        first.hold_next(4)
        assert second.hold_at == 4, "it has heard of the hold before rank 0 goes on"
        waiting = pool.submit(second.at_boundary, 4)
        here = first.at_boundary(4)
        there = waiting.result(30)
    assert here is not None and there is not None
    assert (here["lr_scale"], there["lr_scale"]) == (0.5, 0.5) and not (first.hold_at or second.hold_at)


def test_a_rank_that_holds_goes_on_when_rank_0_has_ended(program_of_ranks: Callable[..., Link]) -> None:
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(program_of_ranks, (0, 1))
        waiting = pool.submit(second.at_boundary, 4)
        first.close()
        control = waiting.result(30)
    assert control is not None and control["activity"] == Activity.RUNNING.value


def test_all_ranks_let_go_after_a_fault_of_the_cockpit_in_one(program_of_ranks: Callable[..., Link]) -> None:
    """One alone would train with another learning rate than the rest."""
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(program_of_ranks, (0, 1))
        second.say({"detached": " after a fault of its own: ValueError()"})
        until(lambda: first.is_asked)
        control = first.at_boundary(4)
    assert control is not None and control["activity"] == GONE


def test_ranks_of_other_machines_are_out_of_reach(program_of_ranks: Callable[..., Link], directory: Path) -> None:
    link = program_of_ranks(0, nearby=1)
    assert not link.control["together"]
    until(lambda: holds(directory, lambda state: "other machines" in state.spec.why_unsupported(c.Pause.op)))

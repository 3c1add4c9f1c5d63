"""Own loops on a GPU: no wait of the cockpit's own, and a non-finite step that changes nothing, for each optimizer."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cockpit import Cockpit
from engine.protocol import commands as c
from engine.protocol import events as e
from tests.adapters.own_loop import assert_equal, events, rows, send, weights
from tests.adapters.small_network import all_state, hooks_on, network
from tests.adapters.test_optimizer_hooks import OPTIMIZERS
from tests.adapters.test_program import TRAIN
from tests.gpu.conftest import COMPILING

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:called a synchronizing"),  # of the cockpit's own thread, which may wait
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),
]

STATES = ("sgd momentum", "adamw foreach", "adamw fused", "adafactor")


@contextmanager
def waits_noted() -> Generator[list[str]]:
    """Yield where this thread waits for the device; other threads may wait."""
    found: list[str] = []
    mine = threading.current_thread()

    def note(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
        if threading.current_thread() is mine and "called a synchronizing" in str(message):
            found.append(f"{filename}:{lineno}")

    torch.cuda.synchronize()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")


def batches(device: torch.device, count: int) -> list[tuple[Tensor, Tensor]]:
    """Return batches on the device."""
    torch.manual_seed(1)
    inputs = [torch.randn(8, 4) for _ in range(count)]
    return [(x.to(device), (x[:, 0] > 0).long().to(device)) for x in inputs]


def classifier(device: torch.device) -> nn.Sequential:
    """Return a small network with running statistics, on the device."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2)).to(device)


def test_waits_are_noted(cuda: torch.device) -> None:
    with waits_noted() as waits:
        torch.ones(1, device=cuda).item()
    assert len(waits) == 1


@pytest.mark.parametrize("clip", [None, 0.5], ids=["without a clip", "with the program's own clip"])
@pytest.mark.parametrize(("name", "num_waits"), [("adamw fused", 0), ("sgd fused", 0), ("adamw foreach", 6)])
def test_a_step_waits_for_the_device_once_and_not_at_all_with_a_fused_optimizer(
    tmp_path: Path, cuda: torch.device, name: str, num_waits: int, clip: float | None
) -> None:
    model = classifier(cuda)
    optimizer = OPTIMIZERS[name](model.parameters())
    waits: list[str] = []
    with Cockpit(model, optimizer, run="one", runs_dir=tmp_path) as cockpit:
        steps = iter(cockpit.steps(batches(cuda, 16)))

        def train(count: int) -> None:
            for _, (x, y) in zip(range(count), steps, strict=False):
                cockpit.loss({"ce": nn.functional.cross_entropy(model(x), y)}).backward()
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                optimizer.zero_grad()

        train(6)  # moments are created, and weights are measured for the first time
        with waits_noted() as waits:
            train(6)
        train(99)
    assert len(waits) == num_waits, waits
    assert len(rows(tmp_path / "one")) == 16


@pytest.mark.parametrize("first", [0, 4], ids=["in the first step", "in a later step"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_non_finite_step_changes_no_weight_moment_or_counter(device: torch.device, name: str, first: int) -> None:
    """All later steps are those of a training that never saw the batch."""
    models = [network().to(device) for _ in range(2)]
    ours, twin = [OPTIMIZERS[name](model.parameters()) for model in models]
    hooks = hooks_on(models[0], ours)
    for step in range(9):
        torch.manual_seed(step)
        x = torch.randn(5, 4, device=device)
        for model, optimizer in zip(models, (ours, twin), strict=True):
            if step == first and optimizer is twin:
                continue
            model(x).square().mean().backward()
            if step == first:
                bias = model.get_parameter("2.bias")
                assert bias.grad is not None
                bias.grad[1] = torch.nan
            optimizer.step()
            optimizer.zero_grad()
        seen = hooks.take()
        if step == first:
            assert seen.bad == ("2.bias",) if seen.finite is None else not bool(seen.finite)
    assert_equal(all_state(models[0], ours), all_state(models[1], twin))


@pytest.mark.parametrize("name", STATES)
def test_a_run_that_is_resumed_ends_with_the_same_bits(tmp_path: Path, device: torch.device, name: str) -> None:
    """A run that is continued computes what one without a break computes."""
    straight = classifier(device)
    optimizer = OPTIMIZERS[name](straight.parameters())
    for x, y in batches(device, 12):
        nn.functional.cross_entropy(straight(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    for resume in (False, True):
        model = classifier(device)
        optimizer = OPTIMIZERS[name](model.parameters())
        with Cockpit(model, optimizer, run="one", runs_dir=tmp_path, resume=resume) as cockpit:
            for number, (x, y) in enumerate(cockpit.steps(batches(device, 12))):
                cockpit.loss({"ce": nn.functional.cross_entropy(model(x), y)}).backward()
                optimizer.step()
                optimizer.zero_grad()
                if number == 5 and not resume:
                    send(cockpit, c.Stop())
    assert_equal(dict(model.state_dict()), dict(straight.state_dict()))


def test_the_operation_behind_a_nan_of_an_own_loop_is_named(tmp_path: Path, device: torch.device) -> None:
    model = classifier(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    given = batches(device, 9)
    given[6][0][3, 1] = torch.nan
    with Cockpit(model, optimizer, run="one", runs_dir=tmp_path) as cockpit:
        for x, y in cockpit.steps(given):
            cockpit.loss({"ce": nn.functional.cross_entropy(model(x), y)}).backward()
            optimizer.step()
            optimizer.zero_grad()
    (skipped,) = events(tmp_path / "one", e.StepSkipped)
    assert skipped.terms == ("ce",)
    (named,) = events(tmp_path / "one", e.FaultNamed)
    assert (named.at_step, named.verdict, named.operation) == (7, "reproduced", "input[0]")
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())


def test_an_overflow_under_a_loss_scaler_is_counted_and_changes_nothing(tmp_path: Path, cuda: torch.device) -> None:
    model = classifier(cuda)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cuda", init_scale=2.0**10)
    before: list[Tensor] = []
    with Cockpit(model, optimizer, run="one", runs_dir=tmp_path) as cockpit:
        for number, (x, y) in enumerate(cockpit.steps(batches(cuda, 8))):
            if number == 4:
                scaler.update(2.0**60)
                before = weights(model)
            with torch.autocast("cuda", dtype=torch.float16):
                loss = cockpit.loss({"ce": nn.functional.cross_entropy(model(x), y)})
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            if number == 4:
                assert_equal(weights(model), before)
                scaler.update(2.0**10)
    (skipped,) = events(tmp_path / "one", e.StepSkipped)
    assert "loss scaler" in skipped.reason
    found = rows(tmp_path / "one")
    assert [step for step, values in found.items() if values.get("skipped")] == [5]
    assert found[8]["loss/total"] < 5, "the recorded loss is that before the scale"


@COMPILING
def test_a_compiled_network_is_watched(tmp_path: Path, cuda: torch.device) -> None:
    model = classifier(cuda)
    compiled: Any = torch.compile(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    with Cockpit(compiled, optimizer, run="one", runs_dir=tmp_path) as cockpit:
        for x, y in cockpit.steps(batches(cuda, 5)):
            cockpit.loss({"ce": nn.functional.cross_entropy(compiled(x), y)}).backward()
            optimizer.step()
            optimizer.zero_grad()
    found = rows(tmp_path / "one")
    assert len(found) == 5 and {"grad_norm/0", "grad_norm/3"} <= found[5].keys()


def test_an_untouched_program_is_watched(tmp_path: Path, device: torch.device) -> None:
    """Its NaN changes nothing and is named although its own clip has made every gradient NaN."""
    program = tmp_path / "train.py"
    program.write_text(f"import torch\ntorch.set_default_device('{device.type}')\n{TRAIN}")
    words = ["main.py", "run", "--no-ui", "--runs-dir", str(tmp_path), "--run", "one", str(program), "20", "0"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (skipped,) = events(tmp_path / "one", e.StepSkipped)
    assert skipped.modules
    found = rows(tmp_path / "one")
    assert len(found) == 20 and found[7]["skipped"] == 1.0

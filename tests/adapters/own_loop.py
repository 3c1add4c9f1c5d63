"""A small training as strangers write it, and readers of the run that the cockpit makes of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from cockpit import Cockpit
from engine.adapters.run.attached_run import AttachedRun
from engine.journal.reader import Entry, JournalReader
from engine.journal.sender import Sender
from engine.protocol.commands import Command
from engine.protocol.state import RunState


class Training:
    """A small training as strangers write it; `poison` are the indices of rows that are NaN."""

    def __init__(self, *, poison: tuple[int, ...] = (), shuffle: bool = True, dropout: float = 0.1) -> None:
        torch.manual_seed(0)
        inputs = torch.randn(96, 4)
        targets = (inputs[:, 0] > 0).long()
        inputs[list(poison)] = math.nan
        self.loader = DataLoader(TensorDataset(inputs, targets), batch_size=8, shuffle=shuffle)
        self.model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 2))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.scheduler: Any = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=60)
        self.seen: list[tuple[int, float]] = []

    def cockpit(self, runs: Path, **options: Any) -> Cockpit:
        """Return the cockpit of this training, with a run named 'one'."""
        return Cockpit(
            self.model,
            self.optimizer,
            run="one",
            runs_dir=runs,
            **{"scheduler": self.scheduler, "config": {"lr": 1e-2}, **options},
        )

    def ce(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return nn.functional.cross_entropy(self.model(x), y)

    def run(
        self, cockpit: Cockpit, epochs: int = 2, each: Callable[[Cockpit, int], None] = lambda cockpit, step: None
    ) -> None:
        """Train; `each` is called in the loop's body, with the number of the step (from 0)."""
        for _ in cockpit.epochs(epochs):
            self.run_epoch(cockpit, each)

    def run_epoch(self, cockpit: Cockpit, each: Callable[[Cockpit, int], None] = lambda cockpit, step: None) -> None:
        """Train for one epoch."""
        for x, y in cockpit.steps(self.loader):
            each(cockpit, cockpit.step)
            loss = cockpit.loss({"ce": self.ce(x, y)})
            loss.backward()
            self.optimizer.step()
            if self.scheduler is not None:
                self.scheduler.step()
            self.optimizer.zero_grad()
            self.seen.append((cockpit.step, float(loss.detach())))


def send(cockpit: Cockpit, command: Command) -> None:
    """Send a command as another process does, and wait until the cockpit's thread has read it."""
    run, until = cockpit._run, time.monotonic() + 30
    assert isinstance(run, AttachedRun)
    with closing(Sender(cockpit.directory)) as sender, closing(JournalReader(cockpit.directory)) as reader:
        number = sender.send(command, "test")
        assert number is not None
        while not ((run._asked.is_set() and _waits(run, number)) or reader.outcome(number)):
            assert time.monotonic() < until
            time.sleep(0.005)


def _waits(run: AttachedRun, number: int) -> bool:
    return number in [request.id for request in tuple(run._inbox._waiting)]


def entries(run: Path) -> list[Entry]:
    """Return the events of a run."""
    with closing(JournalReader(run)) as reader:
        return reader.events()


def events(run: Path, *kinds: type[Any]) -> list[Any]:
    """Return the events of some kinds."""
    return [entry.event for entry in entries(run) if isinstance(entry.event, kinds)]


def state_of(run: Path) -> RunState:
    """Return the newest state of a run."""
    with closing(JournalReader(run)) as reader:
        state = reader.state()
    assert state is not None
    return state


def rows(run: Path) -> dict[int, dict[str, float]]:
    """Return the metrics of each step."""
    with closing(JournalReader(run)) as reader:
        series = reader.series(reader.metric_names())
    found: dict[int, dict[str, float]] = {int(step): {} for step in series.steps}
    for name, values in series.values.items():
        for step, value, is_present in zip(series.steps, values, series.present[name], strict=True):
            if is_present:
                found[int(step)][name] = float(value)
    return found


def weights(model: nn.Module) -> list[Tensor]:
    """Return copies of the weights."""
    return [p.detach().clone() for p in model.parameters()]


def assert_same(left: list[Tensor], right: list[Tensor]) -> None:
    """Compare bit for bit."""
    assert all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


def assert_equal(left: Any, right: Any) -> None:
    """Compare nested states bit for bit."""
    assert type(left) is type(right)
    if isinstance(left, Tensor):
        assert left.dtype == right.dtype and torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_equal(one, other)
    else:
        assert left == right


def update(training: Training, loss: Tensor) -> None:
    """Make one update."""
    training.optimizer.zero_grad()
    loss.backward()
    training.optimizer.step()


class Wrapper(torch.optim.Optimizer):
    """A wrapper as some programs have: it never calls the `__init__` of torch, and so has no parameter groups."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.inner = inner

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Pass it on."""
        self.inner.zero_grad(set_to_none)

    def step(self, closure: Any = None) -> Any:
        """Pass it on."""
        return self.inner.step(closure)

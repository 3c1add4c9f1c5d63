"""Resumes with other objects than those of the checkpoint: either they fit, or the run is left as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cockpit import Cockpit
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol import events as e
from tests.adapters.own_loop import Training, events

Parameters = Iterable[nn.Parameter]
WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "none": lambda model: model,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "parallel": nn.DataParallel,
    "both": lambda model: torch.compile(nn.DataParallel(model), backend="eager"),
}


def test_an_optimizer_whose_groups_differ_is_refused_before_the_run_is_touched(runs: Path) -> None:
    """Torch's own error came after the run had been opened, which kept it locked."""
    _train(runs)
    model = Training().model
    optimizer = torch.optim.AdamW([{"params": model[0].parameters()}, {"params": model[3].parameters()}])
    with pytest.raises(UserError, match=r"step-00000012.pt .*groups have 4 parameters, and the training.s 2 and 2"):
        _resume(runs, model, optimizer)
    assert not events(runs / "one", e.RunFailed)
    _resume(runs, model, torch.optim.AdamW(model.parameters())).close()


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adadelta, torch.optim.LBFGS])
def test_another_kind_of_optimizer_is_refused(runs: Path, kind: Callable[[Parameters], torch.optim.Optimizer]) -> None:
    """Torch takes its groups, and the next update fails with a KeyError."""
    _train(runs)
    model = Training().model
    with pytest.raises(UserError, match=r"of another optimizer than (SGD|Adadelta|LBFGS): it lacks "):
        _resume(runs, model, kind(model.parameters()))


@pytest.mark.parametrize(("before", "after"), [("Adamax", "Adam"), ("AdamW", "Adamax"), ("Adamax", "RAdam")])
def test_an_optimizer_that_needs_other_moments_is_refused(runs: Path, before: str, after: str) -> None:
    """Its options are the same, so torch takes the groups; the next update failed with a KeyError."""
    training = Training()
    training.optimizer = getattr(torch.optim, before)(training.model.parameters())
    training.scheduler = torch.optim.lr_scheduler.ConstantLR(training.optimizer)
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1)
    model = Training().model
    with pytest.raises(UserError, match=rf"of another optimizer than {after}: its moments lack 'exp_\w+'"):
        _resume(runs, model, getattr(torch.optim, after)(model.parameters()))


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_an_optimizer_with_the_same_options_goes_on(
    runs: Path, kind: Callable[[Parameters], torch.optim.Optimizer]
) -> None:
    """A program may have added options of its own, as schedules do."""
    _train(runs)
    model = Training().model
    optimizer = kind(model.parameters())
    optimizer.param_groups[0]["own"] = 1
    with _resume(runs, model, optimizer) as cockpit:
        assert cockpit.step == 12


@pytest.mark.parametrize("before", WRAPPERS)
@pytest.mark.parametrize("after", WRAPPERS)
def test_a_network_may_get_or_lose_its_wrappers(runs: Path, before: str, after: str) -> None:
    """The names of the weights begin with those of `torch.compile` and of data parallelism."""
    training, other = Training(), Training()
    nn.init.zeros_(next(other.model.parameters()))
    with Cockpit(WRAPPERS[before](training.model), training.optimizer, run="one", runs_dir=runs) as cockpit:
        training.run(cockpit, 1)
    _resume(runs, WRAPPERS[after](other.model), other.optimizer).close()
    assert torch.equal(next(other.model.parameters()), next(training.model.parameters()))


def test_a_damaged_newest_checkpoint_is_passed_over_and_named(runs: Path) -> None:
    """The run went on many steps earlier without a word."""
    training = _train(runs)
    (runs / "one" / CHECKPOINTS / "step-00000012.pt").write_bytes(b"no archive")
    with _resume(runs, training.model, training.optimizer) as cockpit:
        assert cockpit.step == 0
    (damaged,) = events(runs / "one", e.CheckpointDamaged)
    assert damaged.path == "step-00000012.pt" and "step-00000012.pt" in damaged.error


class _Counting(nn.Linear):
    """Keeps a number besides its weights."""

    count = 0

    def get_extra_state(self) -> Any:
        return {"count": self.count, "object": object()} if self.count < 0 else {"count": self.count}

    def set_extra_state(self, state: Any) -> None:
        self.count = state["count"]


@pytest.mark.parametrize(("count", "kept"), [(3, 3), (-1, 0)])
def test_what_modules_keep_besides_their_weights_is_resumed(runs: Path, count: int, kept: int) -> None:
    """It was left out without a word; an object that could not be read again still is."""
    training, other = Training(), Training()
    training.model[0], other.model[0] = _Counting(4, 16), _Counting(4, 16)
    training.model[0].count = count
    Cockpit(training.model, training.optimizer, run="one", runs_dir=runs).close()
    _resume(runs, other.model, training.optimizer).close()
    assert other.model[0].count == kept


class _Observer(nn.Module):
    """Notes the largest inputs, as observers for quantization do."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x.abs().amax(0)
        return x

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *more: Any) -> None:
        self.seen = torch.empty_like(state_dict[f"{prefix}seen"])
        super()._load_from_state_dict(state_dict, prefix, *more)


def test_a_network_that_takes_buffers_of_another_shape_is_resumed(runs: Path) -> None:
    """Observers get theirs with the first batch."""
    training, other = Training(), Training()
    training.model.observer, other.model.observer = _Observer(), _Observer()
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1)
    _resume(runs, other.model, training.optimizer).close()
    assert torch.equal(other.model.observer.seen, training.model.observer.seen)
    assert other.model.observer.seen.shape == (2,)


def test_a_frozen_mask_of_infinities_is_no_fault_of_a_checkpoint(runs: Path) -> None:
    """No checkpoint of such a network was good, so it could not be rolled back."""
    training = Training()
    training.model.mask = nn.Parameter(torch.tensor([0.0, -torch.inf]), requires_grad=False)
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1)
    saved = events(runs / "one", e.CheckpointSaved)
    assert saved and all(event.good for event in saved)


def test_an_error_in_the_programs_own_objects_ends_the_resume_and_leaves_the_run_free(runs: Path) -> None:
    """As in a notebook, where the same process tries again."""
    training = _train(runs)

    class Broken:
        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            raise KeyError("the schedule's own")

    with pytest.raises(KeyError, match="the schedule's own"):
        _resume(runs, training.model, training.optimizer, scheduler=Broken())
    assert len(events(runs / "one", e.RunFailed)) == 1
    _resume(runs, training.model, training.optimizer).close()


def _train(runs: Path) -> Training:
    training = Training()
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1)
    return training


def _resume(runs: Path, model: nn.Module, optimizer: torch.optim.Optimizer, **options: Any) -> Cockpit:
    return Cockpit(model, optimizer, run="one", runs_dir=runs, resume=True, **options)

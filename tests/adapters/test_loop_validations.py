"""Validations in the body of a loop: their step, and what a resume from their checkpoint repeats."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from cockpit import Cockpit
from engine.protocol import events as e
from tests.adapters.own_loop import assert_same, events, rows


class _Noisy(Dataset[Tensor]):
    """Samples that are different at each reading, as those of augmentations are."""

    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> Tensor:
        return torch.full((4,), index / 48) + torch.randn(4) * random.random() * np.random.rand()


def _train(runs: Path, where: str, *, accumulation: int = 1, fails_at: int = -1, resume: bool = False) -> nn.Module:
    """Train for three epochs of six batches, with validations in the body `where`; fail in the body of a batch."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    loader = DataLoader(_Noisy(), 8, shuffle=True)
    with Cockpit(model, optimizer, run="one", runs_dir=runs, resume=resume) as cockpit:

        def validate() -> None:
            torch.rand(3)
            cockpit.validated(rank=number + 1)

        number = accumulation * cockpit.step
        for _ in cockpit.epochs(3):
            for batch in cockpit.steps(loader):
                if number == fails_at:
                    raise ValueError("the machine is lost")
                if where == "top" and number % 5 == 2:
                    validate()
                (model(batch).square().mean() / accumulation).backward()
                number += 1
                if number % accumulation == 0:
                    optimizer.step()
                    optimizer.zero_grad()
                    if where == "end" and number % 4 == 2:
                        validate()
    assert cockpit.step == 18 // accumulation
    return model


@pytest.mark.parametrize("where", ["top", "end"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_resume_from_a_best_checkpoint_within_an_epoch_is_exact(
    tmp_path: Path, where: str, accumulation: int
) -> None:
    """A batch was left out after a validation before its update, and a step was not counted after one behind it."""
    whole = _train(tmp_path / "whole", where, accumulation=accumulation)
    with pytest.raises(ValueError, match="lost"):
        _train(tmp_path, where, accumulation=accumulation, fails_at=16)
    newest = events(tmp_path / "one", e.CheckpointSaved)[-1]
    assert (newest.kind, newest.path) == ("best", f"step-{(12 if where == 'top' else 14) // accumulation:08d}.pt")
    resumed = _train(tmp_path, where, accumulation=accumulation, resume=True)
    assert_same(list(whole.parameters()), list(resumed.parameters()))


def test_a_validation_after_the_update_is_one_of_its_step(tmp_path: Path) -> None:
    _train(tmp_path, "end")
    assert [step for step, row in rows(tmp_path / "one").items() if "val/rank" in row] == [2, 6, 10, 14, 18]

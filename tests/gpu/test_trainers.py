"""Trainers of other libraries on a GPU: the callback adds no wait, and a non-finite step changes nothing."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.protocol import events as e
from tests.adapters.own_loop import assert_equal, events, rows
from tests.gpu.test_own_loops import waits_noted

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:called a synchronizing"),  # of the cockpit's own thread, which may wait
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),
    pytest.mark.filterwarnings("ignore:You defined a .validation_step."),
]


@pytest.fixture
def hf() -> Any:
    """Return the small training of a Hugging Face trainer; skip where its package is not installed."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.adapters import hf_trainer

    return hf_trainer


@pytest.fixture
def pl() -> Any:
    """Return the small training of a Lightning trainer; skip where its package is not installed."""
    pytest.importorskip("pytorch_lightning", reason="Lightning is not installed")
    from tests.adapters import pl_trainer

    return pl_trainer


def _hf_trained(hf: Any, folder: Path, *callbacks: Any, **options: Any) -> Any:
    made = hf.trainer(folder, *callbacks, use_cpu=False, **options)
    made.train()
    return made


def _pl_trained(pl: Any, folder: Path, *callbacks: Any, poisoned: bool = False) -> Any:
    made = pl.trainer(folder, *callbacks, accelerator="gpu", devices=1, limit_val_batches=0)
    made.fit(pl.Module(), pl.loader(poisoned=poisoned))
    return made


FIRST, LAST = 3, 11
"""The steps between which waits are noted: start and end of an epoch may wait."""


class Noting:
    """Notes waits between two steps of a training."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self.places: Counter[str] = Counter()

    def at(self, step: int) -> None:
        """Begin or end, as is due after `step`."""
        if step == FIRST:
            self._waits = self._open.enter_context(waits_noted())
        elif step == LAST:
            self._open.close()
            self.places = Counter(self._waits)


def test_the_callback_of_hugging_face_adds_no_wait(hf: Any, tmp_path: Path, cuda: torch.device) -> None:
    from transformers import TrainerCallback

    def places(folder: Path, *ours: Any) -> Counter[str]:
        noting = Noting()

        class Notes(TrainerCallback):
            """Notes waits."""

            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                """Begin or end."""
                noting.at(state.global_step)

        _hf_trained(hf, folder, *ours, Notes(), max_steps=LAST + 1, logging_strategy="no")
        return noting.places

    assert places(tmp_path / "with", hf.cockpit(tmp_path)) == places(tmp_path / "without")


def assert_step_7_left_out(library: Any, run: Path, ours: Any, twin: Any) -> None:
    """Compare a trainer with one that left out step 7 by hand, and look at what its run says."""
    assert_equal(library.weights_and_moments(ours), library.weights_and_moments(twin))
    assert len(events(run, e.StepSkipped)) == 1
    assert rows(run)[7]["skipped"] == 1.0


def test_a_non_finite_step_of_hugging_face_is_as_if_left_out(hf: Any, tmp_path: Path, cuda: torch.device) -> None:
    ours = _hf_trained(hf, tmp_path, hf.cockpit(tmp_path), poisoned=True)
    twin = _hf_trained(hf, tmp_path / "bare", hf.WithoutStep7(), poisoned=True)
    assert_step_7_left_out(hf, tmp_path / "runs" / "hf", ours, twin)


def test_the_callback_of_lightning_waits_once_for_an_optimizer_that_is_not_fused(
    pl: Any, tmp_path: Path, cuda: torch.device
) -> None:
    def places(folder: Path, *ours: Any) -> Counter[str]:
        noting = Noting()

        class Notes(pl.Callback):
            """Notes waits."""

            def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
                """Begin or end."""
                noting.at(trainer.global_step)

        options = {"accelerator": "gpu", "devices": 1, "limit_val_batches": 0}
        pl.trainer(folder, *ours, Notes(), **options).fit(pl.Module(), pl.loader())
        return noting.places

    added = places(tmp_path / "with", pl.cockpit(tmp_path)) - places(tmp_path / "without")
    assert sum(added.values()) == LAST - FIRST, added


def test_the_operation_behind_a_nan_of_a_trainer_is_named(hf: Any, tmp_path: Path, cuda: torch.device) -> None:
    _hf_trained(hf, tmp_path, hf.cockpit(tmp_path), poisoned=True)
    (named,) = hf.events_of(tmp_path, e.FaultNamed)
    assert (named.at_step, named.verdict, named.module, named.operation) == (7, "reproduced", "logarithm", "log")


def test_a_non_finite_step_of_lightning_is_as_if_left_out(pl: Any, tmp_path: Path, cuda: torch.device) -> None:
    ours = _pl_trained(pl, tmp_path, pl.cockpit(tmp_path), poisoned=True)
    twin = _pl_trained(pl, tmp_path / "bare", pl.WithoutStep7(), poisoned=True)
    assert_step_7_left_out(pl, tmp_path / "runs" / "pl", ours, twin)

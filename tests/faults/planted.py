"""Faults planted into single steps of a whole run: in its input, weights, moments, gradients or loss terms."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch
from torch import Tensor

import engine.tasks.person.losses.terms
import engine.training.step
from engine.training.data.batch import Batch
from engine.training.gradients.step_report import PendingReport
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan

Plant = Callable[[TrainStep, Sequence[Batch]], AbstractContextManager[None]]
"""A fault during one step. It disappears afterwards, except for the run's own state."""


def plant(monkeypatch: pytest.MonkeyPatch, faults: Mapping[int, Plant]) -> None:
    """Let the step with index k (from 0) go wrong as `faults[k]` says, the first time that it is taken."""
    run = TrainStep.run
    left = dict(faults)

    def faulty_run(train_step: TrainStep, batches: Sequence[Batch], plan: StepPlan) -> PendingReport:
        fault = left.pop(plan.step, None)
        if fault is None:
            return run(train_step, batches, plan)
        with fault(train_step, batches):
            return run(train_step, batches, plan)

    monkeypatch.setattr(TrainStep, "run", faulty_run)


def in_term(term: str, value: float) -> Plant:
    """A loss term that is `value`."""

    @contextmanager
    def planted(train_step: TrainStep, batches: Sequence[Batch]) -> Generator[None]:
        honest = engine.tasks.person.losses.terms.term_values

        def spoilt(*args: object) -> dict[str, Tensor]:
            found = honest(*args)  # type: ignore[arg-type]
            found[term] = found[term] * 0 + value
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine.tasks.person.losses.terms, "term_values", spoilt)
            yield

    return planted


def in_input(value: float) -> Plant:
    """One pixel of the batch is `value`."""

    @contextmanager
    def planted(train_step: TrainStep, batches: Sequence[Batch]) -> Generator[None]:
        batches[0].tensors["image_N3HW"][0, 0, 0, 0] = value
        yield

    return planted


def in_gradient(part: str, value: float) -> Plant:
    """The gradient of one parameter of `part` is `value`."""

    @contextmanager
    def planted(train_step: TrainStep, batches: Sequence[Batch]) -> Generator[None]:
        parameter = next(train_step.model.parts()[part].parameters())
        hook = parameter.register_hook(lambda gradient: torch.full_like(gradient, value))
        try:
            yield
        finally:
            hook.remove()

    return planted


def in_weight(part: str, value: float) -> Plant:
    """A weight of `part` is `value` from now on."""

    @contextmanager
    def planted(train_step: TrainStep, batches: Sequence[Batch]) -> Generator[None]:
        _spoil(next(train_step.model.parts()[part].parameters()), value)
        yield

    return planted


def in_moment(part: str, moment: str, value: float) -> Plant:
    """An optimizer moment of `part` is `value` from now on."""

    @contextmanager
    def planted(train_step: TrainStep, batches: Sequence[Batch]) -> Generator[None]:
        parameter = next(train_step.model.parts()[part].parameters())
        _spoil(train_step.optimizer.state[parameter][moment], value)
        yield

    return planted


def _spoil(tensor: Tensor, value: float) -> None:
    with torch.no_grad():
        tensor[(0,) * tensor.ndim] = value

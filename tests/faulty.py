"""Runs with planted faults: a loss term becomes NaN by a rule, and the run's reactions are recorded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
import torch

import engine.tasks.person.losses.terms
import engine.training.step
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.journal.reader import Entry, JournalReader
from engine.protocol.state import RunState
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.tasks.person.config import PersonConfig
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from engine.training.data.batch import Batch
from engine.training.step_plan import StepPlan
from tests.small import small_config

Rule = Callable[[StepPlan, Batch], bool]


def poison(monkeypatch: pytest.MonkeyPatch, term: str, rule: Rule) -> None:
    """Make the loss term NaN in every training step, replays aside, that `rule` holds for."""
    backward: Callable[..., torch.Tensor] = getattr(engine.training.step.TrainStep, "_backward")  # noqa: B009
    values = engine.tasks.person.losses.terms.term_values
    bad = [False]

    def poisoned_backward(
        train_step: engine.training.step.TrainStep, batch: Batch, plan: StepPlan, *rest: object
    ) -> torch.Tensor:
        bad[0] = rule(plan, batch)
        try:
            return backward(train_step, batch, plan, *rest)
        finally:
            bad[0] = False

    def poisoned_values(*args: object) -> dict[str, torch.Tensor]:
        found = values(*args)  # type: ignore[arg-type]
        if bad[0] and term in found:
            found[term] = found[term] * math.nan
        return found

    monkeypatch.setattr(engine.training.step.TrainStep, "_backward", poisoned_backward)
    monkeypatch.setattr(engine.tasks.person.losses.terms, "term_values", poisoned_values)


def long_config(**overrides: Mapping[str, object]) -> PersonConfig:
    """Twenty steps of the small network, with windows to match.

    An epoch has two steps. A validation and a checkpoint after each would take as long as the steps.
    """
    sections: dict[str, Mapping[str, object]] = {
        "training": {"epochs": 10, "warmup_epochs": 0.5},
        "guard": {"recovery": {"bad_steps": 2, "window_steps": 4, "stretch_steps": 20, "probation_steps": 6}},
        "gate": {"min_steps": 4, "window_steps": 4},
        "loss": {"blend_in_steps": 2},
        "validation": {"every_epochs": 4},
        "checkpoint": {"every_epochs": 0},
    }
    merged = {name: {**sections.get(name, {}), **overrides.get(name, {})} for name in {*sections, *overrides}}
    return small_config(**merged)


def recovery(config: PersonConfig, **settings: object) -> PersonConfig:
    """Return the same configuration with other settings of the guardian."""
    guard = config.guard.model_copy(update={"recovery": config.guard.recovery.model_copy(update=settings)})
    return config.model_copy(update={"guard": guard})


def run(directory: Path, config: PersonConfig, **more: object) -> int:
    """Train in `directory` to the end; returns the exit code."""
    directory.mkdir(exist_ok=True)
    return train(RunRequest(directory, config, device="cpu", **more), Interrupt())  # type: ignore[arg-type]


def entries(directory: Path, *kinds: type) -> list[Entry]:
    """The journal's events of some kinds, oldest first."""
    with closing(JournalReader(directory)) as reader:
        return [entry for entry in reader.events() if not kinds or isinstance(entry.event, kinds)]


def state_of(directory: Path) -> RunState:
    """The newest state."""
    with closing(JournalReader(directory)) as reader:
        state = reader.state()
    assert state is not None
    return state


def series(directory: Path, name: str) -> dict[int, float]:
    """A metric by step, along the newest lineage."""
    with closing(JournalReader(directory)) as reader:
        found = reader.series((name,))
    there = found.present[name]
    return dict(zip(found.steps[there].tolist(), found.values[name][there].tolist(), strict=True))


def weights_of(directory: Path) -> Mapping[str, torch.Tensor]:
    """The network's weights in the newest checkpoint."""
    return load_checkpoint(list_checkpoints(directory / CHECKPOINTS)[-1])["model"]


def same_weights(left: Path, right: Path) -> bool:
    """Whether two runs ended with the same bits."""
    mine, theirs = weights_of(left), weights_of(right)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)

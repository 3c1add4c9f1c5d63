"""A validation shows the first samples of the split, the worst, and the remembered ones, at any number of ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.errors import UserError
from engine.tasks.person.model.network import HierarchicalUNet, Outputs
from engine.tasks.person.task import PersonTask
from engine.training.data.batch import Batch
from engine.training.loss_sum import Objective
from engine.training.validation.evaluate import Before, Sums, measure, summarise
from engine.training.validation.result import ValidationPlan
from tests.small import random_batch, small_config

CONFIG = small_config()
ERRORS = (0.1, 0.9, 0.5, float("nan"), 0.9, 0.2, 0.8, 0.3)
"""The errors of the samples noise#0 to noise#7, in batches of two."""


class Graded(PersonTask):
    """The person task with errors that are written in the images."""

    def sample_errors(self, outputs: Any, batch: Mapping[str, Tensor], config: Any) -> Tensor:
        return batch["image_N3HW"][:, 0, 0, 0]


class Crooked(PersonTask):
    """A task with one error for all samples of a batch."""

    def sample_errors(self, outputs: Any, batch: Mapping[str, Tensor], config: Any) -> Tensor:
        return torch.tensor(0.5)


@pytest.fixture(scope="module")
def model() -> HierarchicalUNet:
    torch.manual_seed(0)
    return HierarchicalUNet(CONFIG.model).eval()


def batches() -> list[Batch]:
    made: list[Batch] = []
    for first in range(0, len(ERRORS), 2):
        batch = random_batch(CONFIG, num_rois=2, seed=first)
        image = batch.tensors["image_N3HW"].clone()
        image[:, 0, 0, 0] = torch.tensor(ERRORS[first : first + 2])
        ids = (f"noise#{first}", f"noise#{first + 1}")
        made.append(Batch({**batch.tensors, "image_N3HW": image}, ids, batch.after, False))
    return made


def plan(num_previews: int, num_worst: int, *remembered: str) -> ValidationPlan:
    weights = dict.fromkeys(PersonTask.spec.term_names, 1.0)
    return ValidationPlan(frozenset(), weights, 2, num_previews, None, num_worst, frozenset(remembered))


def shown(model: HierarchicalUNet, settings: ValidationPlan, world: int = 1) -> list[tuple[str, float, int]]:
    objective = Objective(Graded(), CONFIG)
    found: list[list[Sums]] = [[] for _ in range(world)]
    with torch.no_grad():
        for number, batch in enumerate(batches()):
            own = found[number % world]
            known = [error for sums in own for error in sums.errors]
            own.append(measure(objective, model, batch, settings, Before(2 * number, known)))
    total = Sums.of(objective, settings)
    for number in range(len(batches())):
        total.add(found[number % world][number // world])
    previews = summarise(total, objective, settings, 1.0).previews
    return [(preview.sample_id, round(preview.error, 3), preview.rank) for preview in previews]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_first_the_worst_and_the_remembered_are_shown_in_the_order_of_the_split(
    model: HierarchicalUNet, world: int
) -> None:
    assert shown(model, plan(1, 2, "noise#5", "gone#1"), world) == [
        ("noise#0", 0.1, 7),
        ("noise#1", 0.9, 1),
        ("noise#4", 0.9, 2),
        ("noise#5", 0.2, 6),
    ]


def test_a_sample_without_an_error_is_never_among_the_worst(model: HierarchicalUNet) -> None:
    names = [name for name, _, _ in shown(model, plan(1, 99))]
    assert "noise#3" not in names and len(names) == 7


def test_without_previews_nothing_is_shown(model: HierarchicalUNet) -> None:
    assert shown(model, plan(0, 2, "noise#5")) == []


def test_errors_of_another_shape_are_refused_in_one_sentence(model: HierarchicalUNet) -> None:
    with pytest.raises(UserError, match=r"sample_errors\(\) must return one number per sample, not the shape \(\)"):
        measure(Objective(Crooked(), CONFIG), model, batches()[0], plan(1, 1), Before())


def test_the_error_of_a_person_is_one_minus_the_iou_of_the_target() -> None:
    label = torch.tensor([[[1, 1, 0, 2]], [[0, 0, 0, 2]], [[1, 1, 1, 1]]])
    seen = torch.tensor([[[1, 0, 1, 2]], [[0, 2, 0, 0]], [[1, 1, 1, 1]]])
    outputs = Outputs(torch.nn.functional.one_hot(seen, 3).movedim(-1, 1).float(), torch.zeros(3, 1, 1, 4))
    errors = PersonTask().sample_errors(outputs, {"label_NHW": label}, CONFIG)
    assert errors.tolist() == pytest.approx([1 - 1 / 3, 0.0, 0.0])

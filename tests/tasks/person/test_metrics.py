"""The validation measures, each against an independent computation."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage

from engine.tasks.person.metrics import (
    boundary_f,
    class_iou,
    confusion_matrix,
    in_box,
    mask_boundary,
    mean_iou,
    metrics_of,
    score_sums,
)
from engine.tasks.person.previews import preview_grid, region_preview
from engine.tasks.person.spec import SPEC
from engine.tasks.person.task import PersonTask
from tests.small import small_config


def _masks(seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(4, 24, 24)), (0, 3, 3))
    return torch.from_numpy(np.digitize(noise, np.quantile(noise, [0.5, 0.85])))


def test_iou_is_that_of_pixel_sets_over_the_whole_data_set() -> None:
    label, predicted = _masks(0), _masks(1)
    iou = class_iou(confusion_matrix(label, predicted))
    for k in range(3):
        both, either = ((label == k) & (predicted == k)).sum(), ((label == k) | (predicted == k)).sum()
        assert iou[k] == pytest.approx(float(both) / float(either))


def test_rows_of_the_confusion_matrix_are_the_truth() -> None:
    label, predicted = torch.tensor([[0, 0, 1]]), torch.tensor([[0, 2, 1]])
    assert confusion_matrix(label, predicted).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_a_class_that_occurs_nowhere_has_no_iou_and_is_left_out_of_the_mean() -> None:
    label = torch.tensor([[0, 1]])
    *there, absent = class_iou(confusion_matrix(label, label))
    assert there == [1.0, 1.0] and math.isnan(absent)
    assert mean_iou([*there, absent]) == 1.0


def test_a_class_that_is_only_predicted_or_only_there_scores_nothing_and_counts() -> None:
    label, predicted = torch.tensor([[0, 1]]), torch.tensor([[0, 2]])
    iou = class_iou(confusion_matrix(label, predicted))
    assert iou == [1.0, 0.0, 0.0]
    assert mean_iou(iou) == pytest.approx(1 / 3)
    assert math.isnan(mean_iou([math.nan] * 3))


def test_each_region_counts_alike_in_the_two_scores_by_region() -> None:
    label, predicted = _masks(0), _masks(1)
    label[3] = label[3].clamp(max=1)
    predicted[3] = predicted[3].clamp(max=1)
    iou = {kind: [] for kind in (1, 2)}
    for mine, seen in zip(label.numpy(), predicted.numpy(), strict=True):
        for kind in (1, 2):
            either = np.sum((mine == kind) | (seen == kind))
            iou[kind].append(np.sum((mine == kind) & (seen == kind)) / either if either else 1.0)
    assert iou[2][3] == 1.0, "nobody else is there or predicted"
    metrics = metrics_of(score_sums(predicted, label, 2), len(label))
    assert set(metrics) == {metric.name for metric in SPEC.metrics}
    assert metrics["target_iou"] == pytest.approx(np.mean(iou[1]))
    assert metrics["miou_seed"] == pytest.approx((np.mean(iou[1]) + np.mean(iou[2])) / 2)


def test_scores_of_batches_add_up_to_those_of_the_split_with_the_same_bits() -> None:
    label, predicted = _masks(0), _masks(1)
    whole = score_sums(predicted, label, 2)
    parts = [score_sums(predicted[at], label[at], 2) for at in (slice(0, 1), slice(1, 4))]
    assert all(torch.equal(parts[0][name] + parts[1][name], value) for name, value in whole.items())


@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 64), (96, 72)])
def test_a_box_of_the_whole_region_changes_no_class(height: int, width: int) -> None:
    classes = torch.randint(0, 3, (2, height, width), generator=torch.Generator().manual_seed(0))
    assert torch.equal(in_box(classes, torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2)), classes)


def test_a_box_within_the_region_is_read_as_if_it_were_the_region() -> None:
    inner = _masks(5)
    outer = torch.full((len(inner), 48, 48), 2)
    outer[:, 6:30, 12:36] = inner
    box = torch.tensor([[12 / 48, 6 / 48, 36 / 48, 30 / 48]] * len(inner))
    assert torch.equal(in_box(outer, box), inner.repeat_interleave(2, 1).repeat_interleave(2, 2))
    thirds = in_box(outer, torch.tensor([[0.3, 0.3, 0.7, 0.7]] * len(inner)))
    assert thirds.shape == outer.shape and torch.equal(thirds[:, 0, 0], outer[:, 14, 14])


@pytest.mark.parametrize("data", [{"roi_padding": 0.5}, {"keep_aspect": True}])
def test_the_task_scores_what_is_inside_the_box_alone(data: dict[str, object]) -> None:
    label = _masks(6)
    wrong = (label + 1) % 3
    wrong[:, 6:18, 6:18] = label[:, 6:18, 6:18]
    outputs = SimpleNamespace(log_probs_N3HW=torch.nn.functional.one_hot(wrong, 3).permute(0, 3, 1, 2).float())
    batch = {"label_NHW": label, "box_N4": torch.tensor([[0.25, 0.25, 0.75, 0.75]] * len(label))}
    task = PersonTask()
    inside = task.metrics(task.score(outputs, batch, small_config(data=data)), len(label))
    assert set(inside.values()) == {1.0}
    assert task.metrics(task.score(outputs, batch, small_config()), len(label))["miou"] < 0.5


def test_the_boundary_is_mask_minus_cross_shaped_erosion() -> None:
    mask = (_masks(2) == 0).float()
    cross = ndimage.generate_binary_structure(2, 1)
    for mine, one in zip(mask_boundary(mask.unsqueeze(1))[:, 0].numpy(), mask.numpy(), strict=True):
        eroded = ndimage.binary_erosion(one, cross, border_value=1)
        np.testing.assert_array_equal(mine, one - eroded)


def test_boundary_f_agrees_with_distances_to_the_other_contour() -> None:
    label, predicted, tolerance = _masks(3), _masks(4), 2
    scores = boundary_f(label, predicted, tolerance)
    for i in range(len(label)):
        true = mask_boundary((label[i] == 1).float()[None, None])[0, 0].numpy() > 0
        seen = mask_boundary((predicted[i] == 1).float()[None, None])[0, 0].numpy() > 0
        to_true = ndimage.distance_transform_cdt(~true, "chessboard")
        to_seen = ndimage.distance_transform_cdt(~seen, "chessboard")
        precision, recall = (to_true[seen] <= tolerance).mean(), (to_seen[true] <= tolerance).mean()
        assert float(scores[i]) == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-6)


def test_boundary_f_is_one_for_the_truth_zero_for_nothing_and_one_where_both_are_empty() -> None:
    label = torch.zeros(2, 16, 16, dtype=torch.int64)
    label[0, 4:10, 4:10] = 1
    assert boundary_f(label, label, 2).tolist() == pytest.approx([1.0, 1.0])
    assert boundary_f(label, torch.zeros_like(label), 2).tolist() == pytest.approx([0.0, 1.0])


def test_a_preview_row_shows_image_truth_prediction_and_error() -> None:
    label = np.zeros((8, 8), np.uint8)
    label[2:5, 2:5] = 1
    predicted = np.zeros((8, 8), np.uint8)
    image = np.full((16, 16, 3), 100, np.uint8)
    grid = preview_grid((region_preview("a", image, label, predicted),) * 2)
    assert grid.shape == (16, 32, 3) and grid.dtype == np.uint8
    assert (grid[:8, :8] == 100).all(), "the image, resized to the mask"
    assert (grid[3, 11] != 100).any() and (grid[3, 19] == 100).all(), "truth painted, empty prediction not"
    assert (grid[3, 27] == 255).all() and (grid[0, 24] == 0).all(), "error white, agreement black"

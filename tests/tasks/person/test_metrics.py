"""The validation measures, each against an independent computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from engine.tasks.person.metrics import boundary_f, class_iou, confusion_matrix, mask_boundary, mean_iou
from engine.tasks.person.previews import preview_grid, region_preview


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

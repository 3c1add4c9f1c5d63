"""The published composition, edge map and losses, including defects, to measure the effect of their repair.

Written from their description; nothing in the engine imports this. `install` replaces ours by them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

import engine.tasks.person.model.network
from engine.task import Tap, Tensors, untapped
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.losses.class_losses import auxiliary_loss
from engine.tasks.person.model.boundary_refinement import BoundaryRefinement
from engine.tasks.person.model.outputs import Outputs
from engine.tasks.person.task import PersonTask

_branches: list[Tensor] = []
"""The logits of the two branches of the last forward pass, which the published losses read in addition to the classes.
"""


def composed(foreground_N2HW: Tensor, target_N2HW: Tensor) -> Tensor:
    """Return fg + P(fg) * t: not a probability, with log 2 in favour of the foreground."""
    _branches[:] = [foreground_N2HW, target_N2HW]
    background_NHW, person_NHW = foreground_N2HW.unbind(1)
    share_NHW = foreground_N2HW.softmax(1)[:, 1]
    classes = [background_NHW, *(person_NHW + share_NHW * branch for branch in target_N2HW.unbind(1))]
    return torch.stack(classes, 1).log_softmax(1)


_epsilon = 0.0
"""What the root of the edge map has under it: nothing, as published."""


def edge_map(probs_N3HW: Tensor) -> Tensor:
    """Return the root of squared forward differences, stretched to 0..1 over the whole batch; not detached."""
    dx = F.pad(torch.diff(probs_N3HW, dim=3), (0, 1, 0, 0), mode="replicate")
    dy = F.pad(torch.diff(probs_N3HW, dim=2), (0, 0, 0, 1), mode="replicate")
    edges_N1HW = (dx.square() + dy.square() + _epsilon).sqrt().mean(1, keepdim=True)
    low, high = edges_N1HW.min(), edges_N1HW.max()
    if float((high - low).detach()) < 1e-6:
        return torch.zeros_like(edges_N1HW)
    return (edges_N1HW - low) / (high - low)


def refined(self: BoundaryRefinement, log_probs_N3HW: Tensor, image_N3HW: Tensor, tap: Tap = untapped) -> Tensor:
    """Return the boundary refiner with the gradient of its edge map."""
    probs_N3HW = tap("boundary_refinement", log_probs_N3HW).exp()
    correction_N3HW = self.correct(torch.cat([probs_N3HW, image_N3HW], dim=1)).float()
    return (log_probs_N3HW + edge_map(probs_N3HW) * correction_N3HW).log_softmax(1)


class _BatchWeights:
    """Class weights from the counts of each batch, smoothed over batches, in evaluation too."""

    def __init__(self) -> None:
        self.smoothed: Tensor | None = None

    def __call__(self, counts: Tensor, boost: float) -> Tensor:
        weights = counts.sum() / (2 * counts.clamp(min=1))
        weights = (weights * torch.tensor([1.0, boost])).clamp(0.5, 3.0)
        self.smoothed = weights if self.smoothed is None else 0.9 * self.smoothed + 0.1 * weights
        return self.smoothed


_foreground_weights, _target_weights = _BatchWeights(), _BatchWeights()


def total_loss(log_probs: Tensor, label: Tensor) -> Tensor:
    """Return 1.5 * bg/fg + 1.5 * target/other + CE + dice + 0.3 * consistency."""
    foreground, target = _branches
    is_person = (label > 0).long()
    counts = torch.bincount(is_person.flatten(), minlength=2).float()
    bgfg = F.cross_entropy(foreground, is_person, _foreground_weights(counts, 1.2))
    person = is_person.bool()
    inner, which = target.permute(0, 2, 3, 1)[person], label[person] - 1
    inner_counts = torch.bincount(which, minlength=2).float()
    separation = F.cross_entropy(inner, which, _target_weights(inner_counts, 1.0), reduction="sum")
    separation = separation / person.sum().clamp(min=1)
    probs = log_probs.exp()
    true = (label == 1).float()
    overlap = (probs[:, 1] * true).sum((1, 2))
    dice = 1 - ((2 * overlap + 1e-6) / (probs[:, 1].sum((1, 2)) + true.sum((1, 2)) + 1e-6)).mean()
    consistency = F.mse_loss(foreground.softmax(1)[:, 1], probs[:, 1] + probs[:, 2])
    return 1.5 * bgfg + 1.5 * separation + F.nll_loss(log_probs, label) + dice + 0.3 * consistency


def boundary_cross_entropy(log_probs: Tensor, label: Tensor) -> Tensor:
    """Return the cross-entropy weighted 2 in a band around every class, divided by the pixels, not the weights."""
    one_hot = F.one_hot(label, 3).permute(0, 3, 1, 2).float()
    band = F.max_pool2d(one_hot, 3, 1, 1) + F.max_pool2d(-one_hot, 3, 1, 1)
    weight = 1 + (band.amax(1) > 0).float()
    return (F.nll_loss(log_probs, label, reduction="none") * weight).mean()


def total_variation(log_probs: Tensor, label: Tensor) -> Tensor:
    """Return slopes and a hundredth of curvatures of P(target), which are least without any target."""
    target = log_probs[:, 1].exp()
    slopes = [torch.diff(target, dim=dim) for dim in (1, 2)]
    bends = [torch.diff(slope, dim=dim) for slope, dim in zip(slopes, (1, 2), strict=True)]
    return (
        torch.stack([s.abs().mean() for s in slopes]).sum() + 0.01 * torch.stack([b.abs().mean() for b in bends]).sum()
    )


def contour_cross_entropy(logit: Tensor, label: Tensor) -> Tensor:
    """Return a sigmoid followed by a cross-entropy that applies its own; the outline is one-sided."""
    target = (label == 1).float()[:, None]
    dx = F.pad(torch.diff(target, dim=3), (0, 1, 0, 0), mode="replicate").abs()
    dy = F.pad(torch.diff(target, dim=2), (0, 0, 0, 1), mode="replicate").abs()
    return F.binary_cross_entropy_with_logits(logit.sigmoid(), torch.maximum(dx, dy))


def spread_difference(value: Tensor, label: Tensor) -> Tensor:
    """Return the difference to the target spread outwards by five rounds of half-dilation, which is not a distance."""
    spread = (label == 1).float()[:, None]
    for _ in range(5):
        spread = spread + 0.5 * (1 - spread) * F.max_pool2d(spread, 3, 1, 1)
    return F.l1_loss(value, spread)


def losses(
    self: PersonTask, outputs: Outputs, batch: Tensors, terms: tuple[str, ...], config: PersonConfig, tap: Tap
) -> dict[str, Tensor]:
    """Return the published sum under the name of our cross-entropy, and the rest under the common names.

    It takes the place of `PersonTask.losses`, which step, validation and replay call.
    """
    label = batch["label_NHW"]
    values = {
        "cross_entropy": total_loss(outputs.log_probs_N3HW, label),
        "dice": torch.zeros(()),
        "auxiliary": 0.0 * auxiliary_loss(outputs.auxiliary_N1HW, label),
        "boundary_aware": boundary_cross_entropy(tap("boundary_aware_loss", outputs.log_probs_N3HW), label),
        "active_contour": total_variation(tap("active_contour_loss", outputs.log_probs_N3HW), label),
    }
    if outputs.contour_N1HW is not None:
        values["contour"] = contour_cross_entropy(outputs.contour_N1HW, label)
    if outputs.distance_N1HW is not None:
        values["distance"] = spread_difference(outputs.distance_N1HW, label)
    return {term: values[term] for term in terms}


def install(*, epsilon: float = 0.0) -> None:
    """Replace our mathematics by the published one in this process; `epsilon` repairs the root alone."""
    global _epsilon  # noqa: PLW0603  (a benchmark's process runs one variant)
    _epsilon = epsilon
    engine.tasks.person.model.network.composed_log_probs = composed
    BoundaryRefinement.forward = refined
    PersonTask.losses = losses

"""Evaluate the person task region by region: scores in the boxes, masks at full resolution, the worst as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.outputs.inference.evaluation import (
    Cell,
    EvaluatedGroup,
    EvaluationRequest,
    Examination,
    OnProgress,
    Split,
)
from engine.task import Tensors
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.inference.evaluation.masks import (
    SIZES,
    RunLengths,
    TrueMask,
    average_precision,
    mask_iou,
    size_of,
)
from engine.tasks.person.inference.evaluation.numbers import GroupSums, numbers_by_image, numbers_by_region
from engine.tasks.person.inference.evaluation.regions import EvaluationRegions, RegionCase
from engine.tasks.person.inference.evaluation.worst_sheet import WorstRegions
from engine.tasks.person.inference.paste import paste_region
from engine.tasks.person.inference.run_lengths import encode_mask
from engine.tasks.person.metrics import NUM_CLASSES, scored_classes
from engine.tasks.person.previews import preview_of
from engine.training.data.spans import stacked

ALL: Final = "all"
CONSTANT: Final = "all target"
"""The answer that calls every pixel of the box the target."""
LABELS: Final = "labels"
"""The true masks at the network's resolution, pasted back: the most that masks of this size can reach."""
TITLES: Final = {"ap": "mask AP", "ap50": "mask AP50", "ap75": "mask AP75"}

_Found = list[tuple[RunLengths, float]]


class RegionExaminer:
    """Collects the numbers of each region, and of the regions by the size of the person."""

    def __init__(self, config: PersonConfig, request: EvaluationRequest, on_progress: OnProgress) -> None:
        self._config, self._request = config, request
        self._regions = EvaluationRegions(config, request, on_progress)
        self.split: Split = self._regions.split
        self.notes = self._regions.notes
        self._batch: list[RegionCase] = []
        self._groups = {name: GroupSums() for name in (ALL, *SIZES)}
        self._constant = GroupSums()
        self._rows: list[Mapping[str, Cell]] = []
        self._counts: list[Tensor] = []
        self._truths: list[TrueMask] = []
        self._found: dict[str, _Found] = {ALL: [], LABELS: [], CONSTANT: []}
        self._worst = WorstRegions(request.num_worst if request.pictures else 0)

    def __len__(self) -> int:
        return len(self._regions)

    def batches(self, batch_size: int) -> Iterator[tuple[Tensors, tuple[str, ...]]]:
        """Yield the regions of the split in batches."""
        for cases in self._regions.batches(batch_size):
            self._batch = cases
            samples = [case.sample for case in cases]
            yield stacked(samples), tuple(sample.sample_id for sample in samples)

    def add(self, outputs: Any, batch: Tensors) -> None:
        """Measure the network's outputs for the batch that was yielded last."""
        tolerance = self._config.validation.boundary_tolerance
        predicted_NHW, label_NHW = scored_classes(outputs.log_probs_N3HW.argmax(1), batch, self._config.data)
        sizes = [size_of(case.area) for case in self._batch]
        self._groups[ALL].add(predicted_NHW, label_NHW, tolerance)
        self._constant.add(torch.ones_like(label_NHW), label_NHW, tolerance)
        for name in SIZES:
            rows = [row for row, size in enumerate(sizes) if size == name]
            self._groups[name].add(predicted_NHW[rows], label_NHW[rows], tolerance)
        numbers, counts = numbers_by_region(predicted_NHW, label_NHW, tolerance)
        self._counts += counts
        probs_N3HW = outputs.log_probs_N3HW.float().exp().cpu().numpy()
        labels_N3HW = F.one_hot(batch["label_NHW"], NUM_CLASSES).permute(0, 3, 1, 2).float().cpu().numpy()
        for row, case in enumerate(self._batch):
            found = _pasted(case, probs_N3HW[row])
            self._truths.append(TrueMask(case.image, case.size, case.truth, case.area))
            self._found[ALL].append(found)
            self._found[LABELS].append(_pasted(case, labels_N3HW[row]))
            self._found[CONSTANT].append(_pasted(case, _ALL_TARGET))
            self._rows.append(_row(case, numbers[row], found, sizes[row]))
            self._offer(numbers[row]["target_iou"], case, outputs, batch, row)

    def _offer(self, iou: float, case: RegionCase, outputs: Any, batch: Tensors, row: int) -> None:
        if not self._worst.wants(iou):
            return
        left, top, right, bottom = batch["box_N4"][row].tolist()
        self._worst.add(iou, (left, top, right, bottom), preview_of(batch, case.sample.sample_id, outputs, row))

    def finish(self, on_progress: OnProgress) -> Examination:
        """Return all numbers, after the picture of the worst regions was written. Raises UserError if writing fails."""
        on_progress("average precision", 0, 0)
        precision = {name: average_precision(self._truths, found) for name, found in self._found.items()}
        groups = [
            EvaluatedGroup(name, sums.count, {**sums.numbers(), **precision[ALL][name]})
            for name, sums in self._groups.items()
        ]
        count = self._constant.count
        constant = EvaluatedGroup(CONSTANT, count, {**self._constant.numbers(), **precision[CONSTANT][ALL]})
        labels = EvaluatedGroup(LABELS, count, precision[LABELS][ALL])
        pictures = self._worst.write(self._request.pictures) if self._request.pictures else ()
        return Examination(
            groups=tuple(groups),
            references=(constant, labels),
            titles=TITLES,
            rows=tuple(self._rows),
            files=numbers_by_image(self._rows, self._counts),
            pictures=pictures,
            problems=tuple(f"{problem.file}: {problem.error}" for problem in self._regions.problems),
        )


_ALL_TARGET: Final = np.stack([np.full((1, 1), value, dtype=np.float32) for value in (0, 1, 0)])


def _pasted(case: RegionCase, probs_3HW: np.ndarray) -> tuple[RunLengths, float]:
    """Return the target's mask at full resolution, inside the box, and its score."""
    pasted = paste_region(probs_3HW, case.region, case.size, within=case.box)
    return encode_mask(pasted.mask_HW, pasted.column, pasted.row, case.size), pasted.score


def _row(case: RegionCase, numbers: Mapping[str, float], found: tuple[RunLengths, float], size: str) -> dict[str, Cell]:
    left, top, right, bottom = case.box
    place = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    exact = {"mask_iou": mask_iou(found[0], case.truth), "score": found[1]}
    return {"image": case.image, "person": case.person, **place, "area": case.area, "size": size, **numbers, **exact}

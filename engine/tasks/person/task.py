"""The person task: an ROI-based human instance segmentation network as a `Task` of the engine.

Torch is imported when the network is built or used, so that reading a configuration stays fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.tree import RunConfig
from engine.protocol.task_spec import TaskSpec
from engine.task import ExportPlan, Inspection, Splits, Statistics, Tap, Tensors
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.spec import SPEC

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from engine.outputs.inference.evaluation import EvaluationRequest, OnProgress
    from engine.outputs.inference.prediction import PredictRequest
    from engine.outputs.preview_file import Preview
    from engine.task import Examiner, Predictor


class PersonTask:
    """Segment background, target person and other persons in regions of interest."""

    spec: TaskSpec = SPEC
    Config: type[RunConfig] = PersonConfig

    def open_data(self, config: PersonConfig) -> Splits:
        """Return the splits that the configuration names. Raises UserError if one holds no usable person."""
        from engine.tasks.person.data.sources import open_splits  # noqa: PLC0415

        return open_splits(config.data, config.model, config.training.seed)

    def open_data_with(self, config: PersonConfig, on_progress: Callable[[str], None]) -> Splits:
        """Return the splits that the configuration names, and report the reading through `on_progress`.

        Raises UserError if a split holds no usable person.
        """
        from engine.tasks.person.data.sources import open_splits  # noqa: PLC0415

        return open_splits(config.data, config.model, config.training.seed, on_progress)

    def build_model(self, config: PersonConfig) -> nn.Module:
        """Return the hierarchical UNet V2 with attention."""
        from engine.tasks.person.model.network import HierarchicalUNet  # noqa: PLC0415

        return HierarchicalUNet(config.model, padding=0.0 if config.data.keep_aspect else config.data.roi_padding)

    def forward(self, model: nn.Module, batch: Tensors, active: frozenset[str], tap: Tap) -> Any:
        """Return the `Outputs` with every active head."""
        return model(batch["image_N3HW"], active, tap)

    def losses(
        self, outputs: Any, batch: Tensors, terms: tuple[str, ...], config: PersonConfig, tap: Tap
    ) -> dict[str, Tensor]:
        """Return each of `terms` as a float32 scalar.

        Labels are 0 background, 1 target, 2 other; the distance is the target's signed distance in -1..1.
        """
        from engine.tasks.person.losses.terms import term_values  # noqa: PLC0415

        labels = (batch["label_NHW"], batch["distance_N1HW"])
        return term_values(outputs, *labels, terms, config.loss.class_weights, tap)

    def score(self, outputs: Any, batch: Tensors, config: PersonConfig) -> Tensors:
        """Return pixel counts by true and predicted class, and sums of region scores, inside the people's boxes."""
        from engine.tasks.person.metrics import score_sums, scored_classes  # noqa: PLC0415

        predicted_NHW, label_NHW = scored_classes(outputs.log_probs_N3HW.argmax(1), batch, config.data)
        return score_sums(predicted_NHW, label_NHW, config.validation.boundary_tolerance)

    def metrics(self, sums: Tensors, count: int) -> dict[str, float]:
        """Return mIoU by three definitions, the IoU of each class and boundary F, in 0..1."""
        from engine.tasks.person.metrics import metrics_of  # noqa: PLC0415

        return metrics_of(sums, count)

    def chance(self, batch: Tensors, config: PersonConfig) -> dict[str, float]:
        """Return each term at uniform class probabilities and zero outputs of the other heads."""
        from engine.tasks.person.losses.chance import chance_levels  # noqa: PLC0415

        return chance_levels(batch["label_NHW"], batch["distance_N1HW"])

    def blind(self, batch: Tensors, config: PersonConfig) -> dict[str, tuple[float, ...]]:
        """Return each term for the best answer that is equal for every pixel of every image."""
        from engine.tasks.person.losses.chance import blind_levels  # noqa: PLC0415

        return blind_levels(batch["label_NHW"], batch["distance_N1HW"], config.loss.class_weights)

    def inspect(
        self, path: Path, *, pictures: Path | None, options: Mapping[str, bool], on_progress: Callable[[str], None]
    ) -> Inspection:
        """Return counts, shares and doubts of a COCO or mask-folder data set.

        'use_crowds' reads crowd annotations as people. Raises UserError if the layout is unknown.
        """
        from engine.tasks.person.data.readers.coco.reader import CocoOptions  # noqa: PLC0415
        from engine.tasks.person.data.readers.reports.inspect import inspect_dataset  # noqa: PLC0415
        from engine.tasks.person.data.readers.reports.inspection_text import report_lines  # noqa: PLC0415

        coco = CocoOptions(options.get("use_crowds", False), on_progress)
        report = inspect_dataset(path, pictures=pictures, options=coco)
        return Inspection(tuple(report_lines(report)), report.is_usable)

    def statistics(self, path: Path, *, options: Mapping[str, bool], on_progress: Callable[[str], None]) -> Statistics:
        """Return class shares, overlap and sizes of people, and the class weights that follow.

        'use_crowds' reads crowd annotations as people. Raises UserError if the layout is unknown or there is no region.
        """
        from engine.tasks.person.data.readers.coco.reader import CocoOptions  # noqa: PLC0415
        from engine.tasks.person.data.readers.reports.statistics import measure_dataset  # noqa: PLC0415
        from engine.tasks.person.data.readers.reports.statistics_text import statistics_lines  # noqa: PLC0415

        report = measure_dataset(path, CocoOptions(options.get("use_crowds", False), on_progress))
        return Statistics(tuple(statistics_lines(report)), report)

    def sample_errors(self, outputs: Any, batch: Tensors, config: PersonConfig) -> Tensor:
        """Return 1 - IoU of the target in each region, inside the people's boxes: (N,), 0..1."""
        from engine.tasks.person.metrics import region_iou, scored_classes  # noqa: PLC0415

        predicted_NHW, label_NHW = scored_classes(outputs.log_probs_N3HW.argmax(1), batch, config.data)
        return 1 - region_iou(label_NHW, predicted_NHW, 1)

    def preview(self, outputs: Any, batch: Tensors, sample_id: str, row: int) -> Preview:
        """Return the image, the label and the predictions of the region in `row`."""
        from engine.tasks.person.previews import preview_of  # noqa: PLC0415

        return preview_of(batch, sample_id, outputs, row)

    def preview_grid(self, previews: tuple[Preview, ...]) -> NDArray[np.uint8]:
        """Return one picture of all previews, RGB 0..255, one row per preview."""
        from engine.tasks.person.previews import preview_grid  # noqa: PLC0415

        return preview_grid(previews)

    def predictor(self, config: PersonConfig, request: PredictRequest) -> Predictor:
        """Return the predictor of masks of the given boxes. Raises UserError if no given image has a box."""
        from engine.tasks.person.inference.predictor import PersonPredictor  # noqa: PLC0415

        return PersonPredictor(config, request)

    def export_plan(self, config: PersonConfig) -> ExportPlan:
        """Return an example of two regions, and how regions are cut and masks are pasted back."""
        from engine.tasks.person.inference.exported import export_plan  # noqa: PLC0415

        return export_plan(config)

    def export_outputs(self, outputs: Any) -> Tensors:
        """Return the probabilities of background, target and other: (N, 3, H, W), float32."""
        return {"probabilities": outputs.log_probs_N3HW.exp()}

    def examiner(self, config: PersonConfig, request: EvaluationRequest, on_progress: OnProgress) -> Examiner:
        """Return the examiner of a split's regions. Raises UserError if the data are missing or hold no person."""
        from engine.tasks.person.inference.evaluation.examiner import RegionExaminer  # noqa: PLC0415

        return RegionExaminer(config, request, on_progress)

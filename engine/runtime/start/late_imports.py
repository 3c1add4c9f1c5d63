"""What subcommands do with the runs that they have found: each function imports torch when it is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.runtime.host.imports import imports_only
from engine.runtime.host.interrupt import Interrupt, signals_to

if TYPE_CHECKING:
    from engine.outputs.ablation_report import Ablation, AblationRequest
    from engine.outputs.fault_report import Diagnosis
    from engine.outputs.inference.evaluation import EvaluationReport, EvaluationRequest, OnProgress
    from engine.outputs.inference.export_report import ExportReport, ExportRequest
    from engine.outputs.inference.prediction import OnImage, PredictReport, PredictRequest
    from engine.outputs.profile_report import ProfileReport, ProfileRequest
    from engine.outputs.reproduction_report import ReproductionReport, ReproductionRequest


def reproduce(request: ReproductionRequest) -> ReproductionReport:
    """Train a run again from its journal; a signal ends it."""
    from engine.runtime.reproduce.reproduce import reproduce as drive_again  # noqa: PLC0415

    interrupt = Interrupt()
    with signals_to(interrupt):
        return drive_again(request, interrupt)


def profile(request: ProfileRequest) -> ProfileReport:
    """Profile steps from a checkpoint."""
    from engine.forensics.profile import profile as run_steps  # noqa: PLC0415

    return run_steps(request)


def evaluate(request: EvaluationRequest, on_progress: OnProgress) -> EvaluationReport:
    """Measure a trained network on a split of data."""
    with imports_only():
        from engine.training.inference.evaluate import evaluate as measure_split  # noqa: PLC0415

    return measure_split(request, on_progress)


def predict(request: PredictRequest, on_image: OnImage) -> PredictReport:
    """Predict the masks of given boxes with a trained network."""
    with imports_only():
        from engine.training.inference.predict import predict as refine_boxes  # noqa: PLC0415

    return refine_boxes(request, on_image)


def export(request: ExportRequest, say: Callable[[str], None]) -> ExportReport:
    """Export a trained network."""
    from engine.training.inference.export.export import export as write  # noqa: PLC0415

    return write(request, say)


def diagnose(folder: Path, device: str) -> Diagnosis:
    """Repeat the step of an evidence folder, and name the operation that broke it."""
    from engine.forensics.offline import diagnose as take_again  # noqa: PLC0415

    return take_again(folder, device)


def ablate(request: AblationRequest, on_variant: Callable[[str], None]) -> Ablation:
    """Repeat steps with each component off in turn."""
    from engine.forensics.ablation import ablate as take_apart  # noqa: PLC0415

    return take_apart(request, on_variant)

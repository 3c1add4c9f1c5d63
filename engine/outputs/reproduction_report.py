"""Request and result of a reproduction, readable without torch for the command line."""

from __future__ import annotations

from pathlib import Path

from engine.protocol.record import record


@record
class ReproductionRequest:
    """The finished run to reproduce, and the new run `name` in `runs_dir`.

    If `name` is an empty string, one is generated.
    """

    run_dir: Path
    runs_dir: Path
    name: str = ""


@record
class Difference:
    """The first difference between the two traces; a value is `None` if the step lacks it."""

    step: int
    metric: str
    recorded: float | None
    redriven: float | None


@record
class ReproductionReport:
    """Comparison of the reproduced run with the recorded one.

    `num_redone` interventions were repeated, `num_steps` steps of `num_metrics` metrics compared. `checkpoint` is the
    one whose weights and moments were compared, or an empty string if both runs share none. `tensor` is the first that
    differs.
    """

    run: str
    directory: str
    device: str
    threads: int
    num_redone: int
    num_steps: int
    num_metrics: int
    difference: Difference | None
    checkpoint: str
    tensor: str
    notes: tuple[str, ...]
    seconds: float

    @property
    def identical(self) -> bool:
        """Whether trace and weights agree bit for bit."""
        return self.difference is None and not self.tensor


def report_lines(report: ReproductionReport) -> list[str]:
    """Return the report as sentences in plain text."""
    lines = [
        f"redrove {report.run} into {report.directory} on {report.device}, {report.threads} threads, in "
        f"{report.seconds:.1f} s: {report.num_redone} interventions done again",
        _trace(report),
        _weights(report),
        *report.notes,
    ]
    return [line for line in lines if line]


def _trace(report: ReproductionReport) -> str:
    if report.difference is None:
        return f"trace: {report.num_steps} steps of {report.num_metrics} metrics are bit-identical"
    parts = report.difference
    return (
        f"trace: first differs at step {parts.step} in {parts.metric}: recorded {_number(parts.recorded)}, "
        f"redriven {_number(parts.redriven)}"
    )


def _weights(report: ReproductionReport) -> str:
    if not report.checkpoint:
        return "weights: no checkpoint of the same step is left on both sides"
    if report.tensor:
        return f"weights: {report.checkpoint} differs first in {report.tensor}"
    return f"weights: those and the moments of {report.checkpoint} are bit-identical"


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.9g}"

"""Records of a named fault of a foreign training: the event, the alert, and a report on disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from engine.journal.disk.run_dir import FORENSICS
from engine.outputs.fault_report import (
    NOT_REPLAYED,
    REPORT_JSON,
    REPORT_TEXT,
    VANISHED,
    Fault,
    ForensicReport,
    folder_name,
    report_text,
)
from engine.outputs.fault_text import report_lines, sentence
from engine.protocol.commands import Rollback
from engine.protocol.events import AlertRaised, FaultNamed
from engine.protocol.state import RunState

_MOST_REPORTS: Final = 20
_GENTLER: Final = "lower the learning rate, or clip the gradient norm"


def record_of(
    fault: Fault, step: int, seconds: float, run_dir: Path, state: RunState
) -> tuple[FaultNamed, AlertRaised]:
    """Return the event and the alert for `fault` at `step`, and write its report into the run's directory."""
    report = ForensicReport(
        step=step,
        time=time.time(),
        seconds=seconds,
        fault=fault,
        remedy=_remedy(fault, state),
        loss=float("nan") if state.loss is None else state.loss,
        grad_norm=float("nan") if state.grad_norm is None else state.grad_norm,
        learning_rate=state.lr,
        refinements=frozenset(),
        mixed_precision="",
        device=state.device,
        bad_terms=fault.terms,
        bad_modules=(),
        sample_ids=(),
        batch=(),
    )
    folder = _written(run_dir, report)
    named = FaultNamed(
        at_step=step,
        verdict=fault.verdict,
        direction=fault.direction,
        module=fault.module,
        operation=fault.operation,
        term=fault.term,
        refinement="",
        sample_ids=(),
        folder=folder,
        seconds=seconds,
        rank=fault.rank,
    )
    where = f" ({fault.source})" if fault.source else ""
    alert = AlertRaised(
        kind="fault",
        message=f"step {step}, {fault.verdict}: {sentence(fault)}{where}",
        remedy=report.remedy,
        term=fault.term,
        module=fault.module,
        operation=fault.operation,
        at_step=step,
    )
    return named, alert


def _remedy(fault: Fault, state: RunState) -> str:
    """Return what to do about the fault, as far as a foreign training can do it."""
    if fault.verdict == VANISHED:
        return (
            "look for what differs in a repetition: counters and files of the loop, or an operation that is not exact"
        )
    if fault.verdict == NOT_REPLAYED:
        return _GENTLER
    if fault.direction == "input":
        return "look at this batch: the loader returned it so; leave such samples out, or make them finite"
    if fault.direction in ("weight", "moment") and not state.spec.why_unsupported(Rollback.op):
        return "roll back to the last good checkpoint"
    return _GENTLER


def _written(run_dir: Path, report: ForensicReport) -> str:
    """Write the report and return its folder, relative to the run; an empty string if it cannot be written."""
    parent = run_dir / FORENSICS
    try:
        parent.mkdir(mode=0o700, exist_ok=True)
        if len(list(parent.iterdir())) >= _MOST_REPORTS:
            return ""
        folder = parent / folder_name(report.step)
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / REPORT_TEXT).write_text("\n".join(report_lines(report)) + "\n", encoding="utf-8")
        (folder / REPORT_JSON).write_text(report_text(report) + "\n", encoding="utf-8")
    except OSError:
        return ""
    return f"{FORENSICS}/{folder.name}"

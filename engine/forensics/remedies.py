"""Remedies for diagnosed faults."""

from __future__ import annotations

from typing import Final

from engine.outputs.fault_report import NOT_REPLAYED, ONLY_MIXED, VANISHED, Fault
from engine.protocol.task_spec import TaskSpec
from engine.protocol.words.command_syntax import program_name

_GENTLER: Final = "further reduce the learning rate to 1e-6, use gradient accumulation, or try Adam instead of AdamW"


def remedy_of(fault: Fault, spec: TaskSpec) -> str:
    """Return one sentence with the most direct remedy first."""
    if fault.verdict == VANISHED:
        return "continue training; if it recurs, move to another machine and check its memory"
    if fault.verdict == NOT_REPLAYED:
        return f"replay it in a separate process: {program_name()} diagnose"
    if fault.verdict == ONLY_MIXED:
        return "mixed precision: False (disabled for stability), or amp_dtype bf16 instead of fp16"
    if fault.direction == "input":
        return f"exclude the samples and check their files: {', '.join(fault.sample_ids[:3])}"
    if fault.direction in ("weight", "moment"):
        return "roll back to the last good checkpoint"
    return "; ".join(part for part in (_mend(fault, spec), _disable(fault), _GENTLER) if part)


def _mend(fault: Fault, spec: TaskSpec) -> str:
    """Return the task's remedy for the component of the fault, or an empty string."""
    component = spec.component(fault.refinement)
    return component.remedy if component else ""


def _disable(fault: Fault) -> str:
    return f"disable {fault.refinement}" if fault.refinement else ""

"""A fault and its report as plain text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.outputs.fault_report import Diagnosis, Fault, ForensicReport, TensorStats

_MOST_SAMPLES: Final = 6


def sentence(fault: Fault) -> str:
    """Return the origin of the fault in one line of plain text."""
    what = {
        "forward": "the first non-finite tensor is the output of",
        "backward": "the first non-finite gradient is from the backward pass of",
        "input": "the data itself is not finite:",
        "weight": "a weight was not finite before the step:",
        "moment": "an optimizer moment was not finite before the step:",
    }
    where = "" if fault.rank is None else f" on rank {fault.rank}"
    if not fault.direction:
        return plain(f"{fault.detail or fault.verdict}{where}")
    place = f"{fault.operation} in {fault.module}" if fault.module else fault.operation
    return plain(f"{what[fault.direction]} {place}{where}")


def report_lines(report: ForensicReport) -> list[str]:
    """Return the report as one screen of plain text, with foreign names escaped."""
    fault = report.fault
    facts = {
        "verdict": fault.verdict,
        "where": sentence(fault),
        "source": fault.source,
        "loss term": fault.term or (", ".join(fault.terms) if fault.terms else ""),
        report.component_noun: fault.refinement or ("none: the base network" if fault.direction else ""),
        "why": fault.detail if fault.direction else "",
        "remedy": report.remedy,
        "samples": _listed(fault.sample_ids),
        "step": f"loss {report.loss:.6g}, gradient norm {report.grad_norm:.6g}, LR {report.learning_rate:.2e}",
        "active": ", ".join(sorted(report.refinements)) or f"no {report.component_noun}",
        "precision": report.mixed_precision or "fp32",
        "weights": "unchanged since the step"
        if report.weights_as_then
        else "one step later: the report lagged on this device",
        "took": f"{report.seconds:.2f} s on {report.device}",
    }
    lines = [f"step {report.step}"]
    lines += [f"{plain(name):<10} {plain(text)}" for name, text in facts.items() if text]
    lines += _table("inputs of the operation", fault.inputs)
    return lines + _table("the batch", report.batch)


def _table(title: str, stats: Iterable[TensorStats]) -> list[str]:
    rows = [
        f"  {plain(s.name):<14} {s.dtype:<9} {'x'.join(map(str, s.shape)) or 'scalar':<16}"
        f" {s.low:>11.4g} .. {s.high:<11.4g} mean {s.mean:<11.4g} zeros {s.num_zero}  NaN {s.num_nan}  Inf {s.num_inf}"
        for s in stats
    ]
    return [title, *rows] if rows else []


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MOST_SAMPLES} more" if len(names) > _MOST_SAMPLES else ""
    return ", ".join(names[:_MOST_SAMPLES]) + more


def plain(text: str) -> str:
    """Return `text` on one line with all unprintable characters escaped; names of samples are foreign text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def diagnosis_lines(diagnosis: Diagnosis) -> list[str]:
    """Return the recorded report, and whether this process finds the same."""
    again, took = diagnosis.replayed, f"{diagnosis.seconds:.2f} s on {diagnosis.device}"
    if diagnosis.same:
        return [*report_lines(diagnosis.recorded), "", f"replayed in this process in {took}: the same"]
    found = f"{again.verdict}: {sentence(again)}" if again.direction else f"{again.verdict}: {plain(again.detail)}"
    return [
        *report_lines(diagnosis.recorded),
        "",
        f"replayed in this process in {took}: NOT the same; {found}",
        "what differs between the two processes is the code, the device or its state",
    ]

"""What the replay of a non-finite step found, as a file that readers open without torch: dataclasses, JSON and text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.journal.disk.run_dir import FORENSICS
from engine.protocol.codec import WireError, from_json, from_text, to_text

REPRODUCED: Final = "reproduced"
ONLY_MIXED: Final = "only under mixed precision"
VANISHED: Final = "vanished on replay"
NOT_REPLAYED: Final = "could not be replayed"

REPORT_JSON: Final = "report.json"
REPORT_TEXT: Final = "report.txt"
_PREFIX: Final = "step-"
_MOST_SAMPLES: Final = 6


@dataclass(frozen=True, slots=True)
class TensorStats:
    """One tensor in numbers: `low`, `high` and `mean` are over its finite entries, NaN where it has none."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    low: float
    high: float
    mean: float
    num_zero: int
    num_nan: int
    num_inf: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a step stopped being finite.

    `direction`: forward, backward, input, weight, moment, or '' where the replay was finite. `module` is a path in the
    network or a loss term's name; `source` the file and line that computed it; `terms` the loss terms it reaches;
    `sample_ids` those whose rows were not finite, or the whole batch where no row tells; `inputs` what the operation
    was given; `detail` says in a sentence what the other fields cannot.
    """

    verdict: str
    direction: str = ""
    module: str = ""
    operation: str = ""
    term: str = ""
    refinement: str = ""
    source: str = ""
    detail: str = ""
    terms: tuple[str, ...] = ()
    sample_ids: tuple[str, ...] = ()
    inputs: tuple[TensorStats, ...] = ()

    def place(self) -> tuple[str, ...]:
        """What two replays must agree on to have found the same."""
        return (self.verdict, self.direction, self.module, self.operation, self.term, self.refinement)


@dataclass(frozen=True, slots=True)
class ForensicReport:
    """A fault and the step it was found in. `step` counts from 1; `time` is in seconds since 1970.

    `loss` and `grad_norm` are those of the step itself; `weights_as_then` is False where the weights had moved on
    before the replay, as they may on a device whose reports lag.
    """

    step: int
    time: float
    seconds: float
    fault: Fault
    remedy: str
    loss: float
    grad_norm: float
    learning_rate: float
    refinements: frozenset[str]
    mixed_precision: str
    device: str
    bad_terms: tuple[str, ...]
    bad_modules: tuple[str, ...]
    sample_ids: tuple[str, ...]
    batch: tuple[TensorStats, ...]
    weights_as_then: bool = True


def folders_of(run_dir: Path) -> list[Path]:
    """The folders of evidence of a run, the oldest fault first."""
    folders = [path for path in (run_dir / FORENSICS).glob(f"{_PREFIX}*") if (path / REPORT_JSON).is_file()]
    return sorted(folders, key=_age)


def _age(folder: Path) -> tuple[float, str]:
    return (folder / REPORT_JSON).stat().st_mtime, folder.name


def folder_name(step: int) -> str:
    """The name of the folder of evidence of the step with number `step`."""
    return f"{_PREFIX}{step:08d}"


def find_folder(run_dir: Path, step: int | None) -> Path:
    """The newest folder of evidence, or the newest one of step `step`. Raises UserError where there is none."""
    folders = folders_of(run_dir)
    if not folders:
        raise UserError(f"the run {run_dir.name!r} has no evidence in {FORENSICS}/: no fault was recorded in it")
    if step is None:
        return folders[-1]
    of_step = [
        path for path in folders if path.name == folder_name(step) or path.name.startswith(f"{folder_name(step)}-")
    ]
    if not of_step:
        known = ", ".join(path.name.removeprefix(_PREFIX).lstrip("0") or "0" for path in folders)
        raise UserError(f"the run {run_dir.name!r} has no evidence of step {step}: there is some of {known}")
    return of_step[-1]


def read_report(folder: Path) -> ForensicReport:
    """The report in a folder of evidence. Raises UserError where it is not what the engine writes."""
    path = folder / REPORT_JSON
    try:
        return from_json(ForensicReport, from_text(path.read_text(encoding="utf-8")))
    except (OSError, WireError, UnicodeDecodeError) as error:
        raise UserError(f"{folder.name}/{REPORT_JSON} cannot be read: {error}") from None


def report_text(report: ForensicReport) -> str:
    """The report as one line of strict JSON."""
    return to_text(report)


def sentence(fault: Fault) -> str:
    """Where the fault is, in one line of plain text."""
    what = {
        "forward": "the first tensor that was not finite came out of",
        "backward": "the first gradient that was not finite came out of the backward pass of",
        "input": "the data itself is not finite:",
        "weight": "a weight was not finite before the step:",
        "moment": "an optimizer moment was not finite before the step:",
    }
    if not fault.direction:
        return plain(fault.detail or fault.verdict)
    place = f"{fault.operation} in {fault.module}" if fault.module else fault.operation
    return plain(f"{what[fault.direction]} {place}")


def report_lines(report: ForensicReport) -> list[str]:
    """The report for people: one screen of plain text, names from outside escaped."""
    fault = report.fault
    facts = {
        "verdict": fault.verdict,
        "where": sentence(fault),
        "source": fault.source,
        "loss term": fault.term or (", ".join(fault.terms) if fault.terms else ""),
        "refinement": fault.refinement or ("none: the base network" if fault.direction else ""),
        "why": fault.detail if fault.direction else "",
        "remedy": report.remedy,
        "samples": _listed(fault.sample_ids),
        "step": f"loss {report.loss:.6g}, gradient norm {report.grad_norm:.6g}, LR {report.learning_rate:.2e}",
        "active": ", ".join(sorted(report.refinements)) or "no refinement",
        "precision": report.mixed_precision or "fp32",
        "weights": "as they were" if report.weights_as_then else "one step later: the report lagged on this device",
        "took": f"{report.seconds:.2f} s on {report.device}",
    }
    lines = [f"step {report.step}"]
    lines += [f"{name:<11}{plain(text)}" for name, text in facts.items() if text]
    lines += _table("what the operation was given", fault.inputs)
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
    """`text` on one line, every character that is not printed written out: names of samples come from outside."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A recorded fault and what another process finds when it takes the step again; `same` where the two agree."""

    recorded: ForensicReport
    replayed: Fault
    same: bool
    seconds: float
    device: str


def diagnosis_lines(diagnosis: Diagnosis) -> list[str]:
    """The recorded report, then whether this process finds the same."""
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

"""The report of a replayed non-finite step, readable without torch, and the folders of evidence that hold it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.journal.disk.run_dir import FORENSICS
from engine.protocol.codec import WireError, from_json, from_text, to_text
from engine.protocol.record import record

REPRODUCED: Final = "reproduced"
ONLY_MIXED: Final = "only under mixed precision"
VANISHED: Final = "vanished on replay"
NOT_REPLAYED: Final = "could not be replayed"

REPORT_JSON: Final = "report.json"
REPORT_TEXT: Final = "report.txt"
_PREFIX: Final = "step-"


@record
class TensorStats:
    """Statistics of one tensor: `low`, `high` and `mean` are over its finite entries, NaN if there are none."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    low: float
    high: float
    mean: float
    num_zero: int
    num_nan: int
    num_inf: int


@record
class Fault:
    """Origin of a non-finite step.

    `direction` is forward, backward, input, weight or moment; an empty string if the replay was finite. `module` is a
    path in the network or the name of a loss term. `source` is the file and line of the operation. `terms` are the
    affected loss terms. `sample_ids` are the samples with non-finite rows, or the whole batch if unknown. `inputs` are
    the operation's inputs. `detail` is a sentence with further findings. `rank` is the process in whose batches
    the fault is. It is `None` if there is one process, or if the fault is in all alike.
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
    rank: int | None = None

    def place(self) -> tuple[str, ...]:
        """Return the fields that two replays with the same finding have in common."""
        return (self.verdict, self.direction, self.module, self.operation, self.term, self.refinement)


@record
class ForensicReport:
    """A fault and its step. `step` counts from 1; `time` is in seconds since 1970.

    `loss` and `grad_norm` are from the step itself. `weights_as_then` is False if the weights had changed before the
    replay, as on devices with delayed reports. `component_noun` is the task's; the first tasks' reports lack it.
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
    component_noun: str = "refinement"


def folders_of(run_dir: Path) -> list[Path]:
    """Return the evidence folders of a run, the oldest fault first."""
    folders = [path for path in (run_dir / FORENSICS).glob(f"{_PREFIX}*") if (path / REPORT_JSON).is_file()]
    return sorted(folders, key=_age)


def _age(folder: Path) -> tuple[float, str]:
    return (folder / REPORT_JSON).stat().st_mtime, folder.name


def folder_name(step: int) -> str:
    """Return the name of the evidence folder of step `step`."""
    return f"{_PREFIX}{step:08d}"


def find_folder(run_dir: Path, step: int | None) -> Path:
    """Return the newest evidence folder, of step `step` unless it is `None`. Raises UserError if there is none."""
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
    """Return the report in an evidence folder. Raises UserError if it is not a report of this program."""
    path = folder / REPORT_JSON
    try:
        return from_json(ForensicReport, from_text(path.read_text(encoding="utf-8")))
    except (OSError, WireError, UnicodeDecodeError) as error:
        raise UserError(f"{folder.name}/{REPORT_JSON} cannot be read: {error}") from None


def report_text(report: ForensicReport) -> str:
    """Return the report as one line of strict JSON."""
    return to_text(report)


@record
class Diagnosis:
    """A recorded fault and the result of its replay in another process; `same` is whether they agree."""

    recorded: ForensicReport
    replayed: Fault
    same: bool
    seconds: float
    device: str

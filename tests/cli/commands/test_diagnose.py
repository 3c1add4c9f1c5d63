"""`diagnose` from the command line: its words, its exit codes, and that it waits for torch only where it must."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cockpit.cli.arguments import parse_arguments
from cockpit.cli.commands.analysis.diagnose import Instruments, run_diagnose
from engine.errors import UserError
from engine.journal.writer import JournalWriter
from engine.outputs.ablation_report import NOT_FINITE, Ablation, AblationRequest, Variant
from engine.outputs.fault_report import (
    REPORT_JSON,
    REPRODUCED,
    VANISHED,
    Diagnosis,
    Fault,
    ForensicReport,
    TensorStats,
    folder_name,
    report_text,
)

FAULT = Fault(
    verdict=REPRODUCED,
    direction="backward",
    module="boundary_refinement",
    operation="sqrt",
    refinement="boundary_refinement",
    source="engine/tasks/person/model/edges.py:25 in gradient_magnitude",
    terms=("cross_entropy", "dice"),
    sample_ids=("a\x1b[31m.jpg#1",),
    inputs=(TensorStats("other", "float32", (2, 1, 64, 64), 0.0, 1.0, math.nan, 7, 0, 0),),
)
REPORT = ForensicReport(
    step=12, time=1.0, seconds=0.3, fault=FAULT, remedy="edge normalization with near-zero checks", loss=3.6,
    grad_norm=math.nan, learning_rate=1e-4, refinements=frozenset({"boundary_refinement"}), mixed_precision="",
    device="cpu", bad_terms=(), bad_modules=("extractor",), sample_ids=FAULT.sample_ids, batch=(),
)  # fmt: skip


def record(run_dir: Path, report: ForensicReport = REPORT) -> Path:
    folder = run_dir / "forensics" / folder_name(report.step)
    folder.mkdir(parents=True)
    (folder / REPORT_JSON).write_text(report_text(report))
    return folder


def untouched(*_: object) -> Diagnosis:
    raise AssertionError("nothing is to be replayed here")


def ask(*words: object, replay: Callable[[Path, str], Diagnosis] = untouched, ablate: object = untouched) -> int:
    arguments = parse_arguments(["diagnose", *map(str, words)])
    return run_diagnose(arguments, Instruments(replay, ablate))  # type: ignore[arg-type]


def finding(fault: Fault) -> Callable[[Path, str], Diagnosis]:
    def replay(folder: Path, device: str) -> Diagnosis:
        return Diagnosis(REPORT, fault, fault.place() == FAULT.place(), 0.5, device)

    return replay


def test_the_report_is_printed_with_what_this_process_finds(
    live: JournalWriter, runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(runs_dir / "live")
    assert ask("live", "--runs-dir", runs_dir, replay=finding(FAULT)) == 0
    printed = capsys.readouterr().out
    assert "backward pass of sqrt in boundary_refinement" in printed and printed.endswith("the same\n")
    assert "edge normalization with near-zero checks" in printed and "\x1b" not in printed
    assert len(printed.splitlines()) <= 24


def test_a_replay_that_differs_exits_with_1(
    live: JournalWriter, runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(runs_dir / "live")
    assert ask("live", "--runs-dir", runs_dir, replay=finding(Fault(VANISHED, detail="gone"))) == 1
    assert "NOT the same; vanished on replay: gone" in capsys.readouterr().out


def test_json_is_strict(live: JournalWriter, runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(runs_dir / "live")
    assert ask("live", "--json", "--step", 12, "--runs-dir", runs_dir, replay=finding(FAULT)) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["recorded"]["grad_norm"] == "NaN" and found["replayed"]["inputs"][0]["mean"] == "NaN"


@pytest.mark.parametrize(("words", "told"), [((), "no evidence"), (("--step", "3"), "no evidence")])
def test_where_there_is_no_evidence_that_is_said_before_anything_is_loaded(
    live: JournalWriter, runs_dir: Path, words: tuple[str, ...], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        ask("live", *words, "--runs-dir", runs_dir)
    record(runs_dir / "live")
    with pytest.raises(UserError, match="no evidence of step 3"):
        ask("live", "--step", "3", "--runs-dir", runs_dir)


def test_a_report_that_cannot_be_read_is_said_before_anything_is_loaded(live: JournalWriter, runs_dir: Path) -> None:
    (record(runs_dir / "live") / REPORT_JSON).write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        ask("live", "--runs-dir", runs_dir)


def test_a_run_that_is_not_there_is_said(runs_dir: Path) -> None:
    with pytest.raises(UserError, match="no run"):
        ask("nowhere", "--runs-dir", runs_dir)


# --- with --ablate ----------------------------------------------------------------------

CONTROL = Variant("", 20, 20, math.nan, math.nan, math.nan, NOT_FINITE)
RESULT = Ablation(
    "last-good.pt", 40, CONTROL, (replace(CONTROL, without="boundary_refinement", num_not_finite=0, norm_max=2.5),),
    ("boundary_refinement",), "boundary_refinement is to blame", 3.0,
)  # fmt: skip


def ablation(seen: list[AblationRequest]) -> object:
    def ablate(request: AblationRequest, on_variant: Callable[[str], None]) -> Ablation:
        seen.append(request)
        on_variant("")
        on_variant("boundary_refinement")
        return RESULT

    return ablate


def test_an_ablation_prints_its_table_and_its_verdict(
    live: JournalWriter, runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, seen = record(runs_dir / "live"), list[AblationRequest]()
    assert ask("live", "--ablate", "--steps", 20, "--runs-dir", runs_dir, ablate=ablation(seen)) == 0
    assert seen == [AblationRequest(runs_dir / "live", 20, "", folder, "auto")]
    out, err = capsys.readouterr()
    assert "boundary_refinement off" in out and "boundary_refinement is to blame" in out and "0/20" in out
    assert "every component on" in err


def test_an_ablation_as_json_prints_nothing_else(
    live: JournalWriter, runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[AblationRequest] = []
    words = ("--ablate", "--json", "--checkpoint", "best.pt", "--device", "cpu")
    assert ask("live", *words, "--runs-dir", runs_dir, ablate=ablation(seen)) == 0
    assert seen == [AblationRequest(runs_dir / "live", 20, "best.pt", None, "cpu")]
    out, err = capsys.readouterr()
    assert json.loads(out, parse_constant=pytest.fail)["blamed"] == ["boundary_refinement"] and not err


def test_an_ablation_takes_at_least_one_step(capsys: pytest.CaptureFixture[str]) -> None:
    for steps in ("0", "-3", "many"):
        with pytest.raises(SystemExit) as ended:
            parse_arguments(["diagnose", "latest", "--ablate", "--steps", steps])
        assert ended.value.code == 2 and steps in capsys.readouterr().err

"""A promotion on probation in whole runs: failures, the return of the run, and the autopilot's reaction."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.words.script import ScriptedCommand
from engine.supervision.baseline import LossLevel
from tests.faulty import entries, long_config, poison, recovery, run, same_weights, series, state_of

PROMOTE = (ScriptedCommand(8, c.PromotePhase(force=True), 1),)


def kinds_by(directory: Path, actor: str) -> list[str]:
    return [type(entry.event).__name__ for entry in entries(directory) if entry.actor == actor]


def test_a_promotion_that_stays_calm_passes_its_probation(tmp_path: Path) -> None:
    assert run(tmp_path / "run", long_config(), script=PROMOTE) == 0
    (started,) = entries(tmp_path / "run", e.ProbationStarted)
    assert started.event == e.ProbationStarted("step-00000008.pt", 1, 14, ("active_contour_loss",))
    (ended,) = entries(tmp_path / "run", e.ProbationEnded)
    assert (ended.event, ended.step) == (e.ProbationEnded(passed=True), 14)
    state = state_of(tmp_path / "run")
    assert state.phase == 2 and state.probation is None and state.rollbacks == 0


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose promotion fails its probation."""
    directory = tmp_path_factory.mktemp("probation") / "tried"
    with pytest.MonkeyPatch.context() as patch:
        poison(patch, "active_contour", lambda plan, batch: plan.step >= 11)
        assert run(directory, long_config(), script=PROMOTE) == 0
    return directory


def test_a_fault_in_the_probation_takes_the_run_back_to_its_checkpoint_and_phase(tried: Path) -> None:
    assert kinds_by(tried, "guardian") == ["ProbationStarted", "ProbationEnded", "RolledBack", "PhaseDemoted"]
    (back,), (down,) = entries(tried, e.RolledBack), entries(tried, e.PhaseDemoted)
    assert back.event == e.RolledBack("step-00000008.pt", 12, 8)
    assert down.event == e.PhaseDemoted(2, 1, ("active_contour_loss",)) and down.step == 8
    for entry in (back, down):
        assert "phase 2 failed its probation: step 12 was not finite" in entry.reason
    state = state_of(tried)
    assert state.phase == 1 and state.rollbacks == 1 and state.lr_scale == 1.0
    assert not any(series(tried, "skipped").values())


def test_the_run_that_went_back_trains_on_as_if_it_had_never_been_promoted(tmp_path: Path, tried: Path) -> None:
    assert run(tmp_path / "plain", long_config()) == 0
    assert series(tried, "loss/total") == series(tmp_path / "plain", "loss/total")
    assert same_weights(tried, tmp_path / "plain")


@pytest.mark.parametrize("stop_at", [8, pytest.param(10, marks=pytest.mark.slow)])
def test_a_probation_survives_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int) -> None:
    directory = tmp_path / "run"
    poison(monkeypatch, "active_contour", lambda plan, batch: plan.step >= 11)
    assert run(directory, long_config(), script=(*PROMOTE, ScriptedCommand(stop_at, c.Stop(), 2))) == 0
    assert state_of(directory).probation is not None
    assert run(directory, long_config(), resume=True) == 0
    assert [entry.event for entry in entries(directory, e.ProbationEnded)] == [e.ProbationEnded(passed=False)]
    assert state_of(directory).phase == 1


def test_a_guardian_that_is_off_only_warns_of_a_failed_probation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "run"
    poison(monkeypatch, "active_contour", lambda plan, batch: plan.step == 11)
    assert run(directory, recovery(long_config(), enabled=False), script=PROMOTE) == 0
    assert entries(directory, e.RolledBack, e.PhaseDemoted) == []
    (ended,) = entries(directory, e.ProbationEnded)
    assert ended.event == e.ProbationEnded(passed=False)
    alerts = [entry.event for entry in entries(directory, e.AlertRaised)]
    assert any(isinstance(a, e.AlertRaised) and "it would rollback, demote" in a.message for a in alerts)
    assert state_of(directory).phase == 2


def test_whoever_leaves_the_phase_by_hand_ends_the_probation(tmp_path: Path) -> None:
    script = (*PROMOTE, ScriptedCommand(10, c.DemotePhase(), 2))
    assert run(tmp_path / "run", long_config(), script=script) == 0
    assert entries(tmp_path / "run", e.ProbationEnded) == []
    assert state_of(tmp_path / "run").probation is None


# --- the autopilot ------------------------------------------------------------------------


def _autopilot(**more: object) -> dict[str, object]:
    return {"enabled": True, "final_share": 0.2, "retry_steps": 10, **more}


def decisions(directory: Path) -> list[str]:
    return [entry.event.decision for entry in entries(directory, e.AutopilotDecided)]  # type: ignore[union-attr]


def lenient(**overrides: object) -> object:
    """The gate of a few noisy steps must not depend on their slope."""
    gate = {"min_steps": 4, "window_steps": 4, "max_grad_norm": 1e6, "max_miou_drop": 1.0}
    return long_config(gate=gate, **overrides)  # type: ignore[arg-type]


@pytest.fixture
def level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses that are taken for level and far below chance, so that four noisy steps pass the gate."""

    def no_slope(values: list[float]) -> tuple[float, float]:
        return 0.0, float(len(values))

    monkeypatch.setattr("engine.supervision.gate.slope_with_error", no_slope)
    monkeypatch.setattr("engine.supervision.baseline.Baseline.total", lambda self, weights: LossLevel(1e6, 0.0, 1e6))


@pytest.mark.usefixtures("level")
def test_the_autopilot_walks_to_the_last_phase_and_then_tunes(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    config = lenient(training={"epochs": 15, "warmup_epochs": 0.5}, autopilot=_autopilot())
    assert run(directory, config) == 0  # type: ignore[arg-type]
    promoted = entries(directory, e.PhasePromoted)
    assert [entry.event.after for entry in promoted] == [2, 3, 4]  # type: ignore[union-attr]
    assert {entry.actor for entry in promoted} == {"autopilot"}
    assert all(entry.reason.startswith("to phase") for entry in promoted)
    said = decisions(directory)
    assert said.count("promotes") == 3 and said[-2:] == ["tunes", "is done"]
    (tuned,) = entries(directory, e.LrSet)
    assert tuned.actor == "autopilot" and tuned.event.after == 1e-6  # type: ignore[union-attr]
    assert max(rate for step, rate in series(directory, "lr").items() if step > tuned.step) <= 1.001e-6
    assert state_of(directory).phase == 4


@pytest.mark.slow
@pytest.mark.usefixtures("level")
def test_the_autopilot_waits_after_a_failed_probation_and_gives_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "run"
    poison(monkeypatch, "active_contour", lambda plan, batch: True)
    config = lenient(training={"epochs": 15, "warmup_epochs": 0.5}, autopilot=_autopilot(max_failures=2))
    assert run(directory, config) == 0  # type: ignore[arg-type]
    tries = [entry.step for entry in entries(directory, e.PhasePromoted)]
    assert len(tries) == 2 and tries[1] - tries[0] >= 10
    assert len(entries(directory, e.PhaseDemoted)) == 2
    said = decisions(directory)
    assert "gives up" in said and said[-2:] == ["tunes", "is done"]
    assert state_of(directory).phase == 1


@pytest.mark.slow
@pytest.mark.usefixtures("level")
def test_the_autopilot_decides_alike_in_a_run_that_was_cut(tmp_path: Path) -> None:
    config = lenient(training={"epochs": 15, "warmup_epochs": 0.5}, autopilot=_autopilot())
    assert run(tmp_path / "whole", config) == 0  # type: ignore[arg-type]
    assert run(tmp_path / "cut", config, script=(ScriptedCommand(10, c.Stop(), 1),)) == 0  # type: ignore[arg-type]
    assert run(tmp_path / "cut", config, resume=True) == 0  # type: ignore[arg-type]
    whole = [(entry.step, entry.event) for entry in entries(tmp_path / "whole", e.PhasePromoted)]
    assert whole and [(entry.step, entry.event) for entry in entries(tmp_path / "cut", e.PhasePromoted)] == whole
    assert series(tmp_path / "cut", "loss/total") == series(tmp_path / "whole", "loss/total")


def test_the_autopilot_is_switched_by_a_command(tmp_path: Path) -> None:
    script = (ScriptedCommand(4, c.SetAutopilot(True), 1),)
    assert run(tmp_path / "run", long_config(autopilot={"final_share": 0.5}), script=script) == 0
    assert "tunes" in decisions(tmp_path / "run")

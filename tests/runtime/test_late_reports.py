"""Reports that are read a step late, as on a GPU: each is recorded, with the step that it is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.protocol import events as e
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.loop import Loop
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.faulty import entries, poison, series
from tests.small import small_config


def _read_late(monkeypatch: pytest.MonkeyPatch, lag: int) -> None:
    monkeypatch.setattr(Loop, "_lag", property(lambda self: lag, lambda self, value: None), raising=False)


def _trained(directory: Path, *, resume: bool = False, **training: int) -> None:
    directory.mkdir(exist_ok=True)
    request = RunRequest(directory, small_config(training=training), device="cpu", resume=resume)
    assert train(request, Interrupt()) == 0


def test_the_last_step_is_recorded_in_the_middle_of_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on from there is the same as one whose reports are read at once."""
    found: list[dict[int, float]] = []
    for lag in (0, 1):
        _read_late(monkeypatch, lag)
        directory = tmp_path / f"late {lag}"
        _trained(directory, max_steps=3)
        assert series(directory, "loss/total").keys() == {1, 2, 3}
        _trained(directory, resume=True)
        found.append(series(directory, "loss/total"))
    assert found[0] == found[1]


def test_an_event_has_the_step_that_it_is_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _read_late(monkeypatch, 1)
    poison(monkeypatch, "dice", lambda plan, batch: plan.step == 2)
    _trained(tmp_path / "late", epochs=40, max_steps=6)
    (skipped,) = entries(tmp_path / "late", e.StepSkipped)
    (named,) = entries(tmp_path / "late", e.FaultNamed)
    assert (skipped.step, named.step) == (3, 3)
    assert [step for step, value in series(tmp_path / "late", "skipped").items() if value] == [3]

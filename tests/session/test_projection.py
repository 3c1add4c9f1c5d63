"""The state after pending commands, and outcomes that are decided once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cockpit.session.projection import Projection
from cockpit.session.session import Session
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from tests.decisions import Decisions
from tests.person_state import person_state
from tests.recorded_run import RecordedRun

STATE = person_state(run="calm", activity=Activity.RUNNING, lr=3e-3, step=10, loss_weights={"dice": 0.5})

Watch = Callable[..., Session]


def test_pending_commands_are_projected_in_their_order():
    soon = Projection(STATE).after([c.ScaleLr(0.5), c.SetOptimizer("sgd"), c.ScaleLr(0.5)])
    assert soon.state.lr == pytest.approx(7.5e-4)
    assert soon.state.optimizer == "adamw"
    assert [outcome.status for outcome in soon.outcomes] == [Status.APPLIED, Status.REFUSED, Status.APPLIED]
    assert soon.outcomes[2].event == e.LrScaled(1.5e-3, 7.5e-4, 0.25)
    assert soon.outcome_of(c.ScaleLr(2.0)).event == e.LrScaled(7.5e-4, 1.5e-3, 0.5)


def test_a_projection_decides_each_command_once(decisions: Decisions):
    now = Projection(STATE)
    outcomes = [now.outcome_of(command) for command in (c.ScaleLr(0.5), c.Pause(), c.ScaleLr(0.5))]
    assert outcomes[0] is outcomes[2]
    now.after([c.ScaleLr(0.5)])
    assert decisions.commands == [c.ScaleLr(0.5), c.Pause()]


def test_a_session_decides_again_once_the_state_has_changed(tmp_path: Path, watch: Watch, decisions: Decisions):
    run = RecordedRun(tmp_path / "run", lr=3e-3)
    run.begin()
    session = watch(run.directory)
    session.poll()
    for _ in range(2):
        assert session.decide(c.ScaleLr(0.5)).event == e.LrScaled(3e-3, 1.5e-3, 0.5)
    assert decisions.take() == [c.ScaleLr(0.5)]
    run.observe(lr=2e-3)
    session.poll()
    for _ in range(2):
        assert session.decide(c.ScaleLr(0.5)).event == e.LrScaled(2e-3, 1e-3, 0.5)
    assert decisions.take() == [c.ScaleLr(0.5)]
    run.close()


def test_a_session_projects_what_is_pending_and_nothing_else(tmp_path: Path, watch: Watch, decisions: Decisions):
    run = RecordedRun(tmp_path / "run", lr=3e-3)
    run.begin()
    session = watch(run.directory)
    session.poll()
    assert session.soon.state is session.state and not session.soon.outcomes
    for command in (c.ScaleLr(0.5), c.ScaleLr(0.5)):
        session.send(command)
    for _ in range(2):
        assert session.soon.state.lr == pytest.approx(7.5e-4)
    assert session.now.state.lr == 3e-3
    assert decisions.take() == [c.ScaleLr(0.5), c.ScaleLr(0.5)], "once on the state, once on the state after the first"
    run.answer_commands()
    session.poll()
    assert session.soon.state is session.state
    run.close()

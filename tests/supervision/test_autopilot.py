"""The autopilot's decisions: promoting, waiting, giving up and tuning, and the frequency of its reports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.config.supervision_sections import AutopilotConfig
from engine.protocol import commands as c
from engine.protocol.state import GateCheck, Probation, RunState
from engine.supervision.autopilot import (
    DONE,
    GIVE_UP,
    PROMOTE,
    TUNE,
    WAIT,
    AutopilotState,
    choose,
    note_failure,
    take_note,
)
from engine.tasks.person.spec import refinements_of
from tests.person_state import RIVALRY, person_state

SETTINGS = AutopilotConfig()
GREEN = GateCheck("non-finite steps", "0", "0 in the window", passed=True)
RED = GateCheck("steps in phase", "12", "at least 100", passed=False)
STATE = person_state(run="r", step=500, lr=1e-3, phase=1, refinements=refinements_of(1), gate=(GREEN,))
LAST = replace(STATE, phase=4, refinements=refinements_of(4))
NEW = AutopilotState()
GREEN_RIVALRY = replace(RIVALRY, gate=(GREEN,))
FAILED = AutopilotState(failures=(2,), retry_at=600)


@pytest.mark.parametrize(
    ("memory", "state", "remaining", "what", "command", "why"),
    [
        (NEW, STATE, 0.5, PROMOTE, c.PromotePhase(), "to phase 2: non-finite steps is 0"),
        (NEW, replace(STATE, phase=0), 0.5, PROMOTE, c.PromotePhase(), "to phase 1"),
        (NEW, replace(STATE, gate=(GREEN, RED)), 0.5, WAIT, None, "steps in phase is 12, must be at least 100"),
        (NEW, replace(STATE, gate=()), 0.5, WAIT, None, "nothing measured"),
        (NEW, replace(STATE, probation=Probation("a.pt", 0, 640)), 0.5, WAIT, None, "on probation until step 640"),
        (NEW, replace(STATE, probation=Probation("a.pt", 0, 640)), 0.05, WAIT, None, "on probation until step 640"),
        (FAILED, STATE, 0.5, WAIT, None, "phase 2 failed its probation once, the next try is at step 600"),
        (FAILED, replace(STATE, step=600), 0.5, PROMOTE, c.PromotePhase(), "to phase 2"),
        (replace(FAILED, failures=(3,)), STATE, 0.5, PROMOTE, c.PromotePhase(), "to phase 2"),
        (replace(FAILED, failures=(2, 2, 2)), replace(STATE, step=9000), 0.5, GIVE_UP, None, "stays in phase 1"),
        (NEW, GREEN_RIVALRY, 0.5, WAIT, None, "phase 1 adds fine, and coarse excludes it; disable that one first"),
        (NEW, LAST, 0.5, WAIT, None, "the last 10 % of the run is trained at 1e-06 and less"),
        (NEW, LAST, 0.1, TUNE, c.SetLr(1e-6), "the learning rate becomes 1e-06"),
        (NEW, STATE, 0.1, TUNE, c.SetLr(1e-6), "in phase 1"),
        (NEW, replace(LAST, lr=5e-7), 0.1, TUNE, None, "the rate is 5e-07 already"),
        (replace(NEW, tuning=True), replace(LAST, lr=1e-6), 0.05, DONE, None, "1e-06"),
        (replace(NEW, tuning=True), STATE, 0.05, DONE, None, "only falls for the rest of the run"),
    ],
)
def test_what_it_does_at_the_gate_and_why(
    memory: AutopilotState, state: RunState, remaining: float, what: str, command: c.Command | None, why: str
) -> None:
    decision = choose(memory, state, SETTINGS, remaining=remaining)
    assert (decision.what, decision.command) == (what, command)
    assert why in decision.why


def test_without_a_final_share_there_is_no_tuning() -> None:
    settings = AutopilotConfig(final_share=0.0)
    decision = choose(NEW, LAST, settings, remaining=0.0)
    assert (decision.what, decision.command) == (WAIT, None) and "to the end" in decision.why


def test_it_waits_twice_as_long_after_each_further_failure_of_a_phase() -> None:
    memory, waits = NEW, []
    for phase in (2, 2, 3, 2):
        memory = note_failure(memory, phase, 1000, SETTINGS)
        waits.append(memory.retry_at - 1000)
    assert waits == [200, 400, 200, 800]
    assert memory.failures == (2, 2, 3, 2)


def test_it_says_the_same_thing_once_and_another_reason_only_now_and_then() -> None:
    red = replace(STATE, gate=(RED,))
    other = replace(STATE, gate=(replace(RED, name="loss slope"),))
    memory, said = NEW, []
    for step, state in ((500, red), (510, red), (520, other), (590, other), (600, other), (610, red), (620, STATE)):
        decision = choose(memory, state, SETTINGS, remaining=0.5)
        memory, is_news = take_note(memory, decision, step)
        said.append(is_news)
    assert said == [True, False, False, False, True, False, True]


def test_the_final_tuning_is_begun_once() -> None:
    memory, is_news = take_note(NEW, choose(NEW, LAST, SETTINGS, remaining=0.1), 900)
    assert is_news and memory.tuning
    assert choose(memory, LAST, SETTINGS, remaining=0.05).command is None

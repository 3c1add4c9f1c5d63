"""The guardian's policy, step by step: its reactions, and the cases without one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from engine.config.supervision_sections import RecoveryConfig
from engine.protocol import commands as c
from engine.protocol.events import FaultNamed
from engine.protocol.state import Probation, RunState
from engine.supervision.guardian import consider, way_back
from engine.supervision.guardian_types import NOTHING, Decision, GuardianState, StepObservation
from engine.tasks.person.spec import refinements_of
from tests.person_state import person_state

SETTINGS = RecoveryConfig(bad_steps=3, window_steps=10, max_rollbacks=2, stretch_steps=100, storm_steps=50)
STATE = person_state(run="r", lr=1e-3, phase=2, refinements=refinements_of(2), good_checkpoint="step-00000010.pt")
PROBATION = Probation("step-00000020.pt", 1, 60, ("active_contour_loss",))
TRIED = replace(STATE, probation=PROBATION)
MEND = (c.Rollback(), c.ScaleLr(0.5))


def bad(number: int, *samples: str, **more: object) -> StepObservation:
    reason = "loss dice not finite; nothing was updated"
    return replace(StepObservation(number, finite=False, sample_ids=samples or (f"s#{number}",), reason=reason), **more)


def good(number: int, **more: object) -> StepObservation:
    return replace(StepObservation(number, finite=True), **more)


def fault(**more: object) -> FaultNamed:
    found = FaultNamed(5, "reproduced", "backward", "contour_detection.head", "sqrt", "", "", ("s#5",), "f", 0.1)
    return replace(found, **more)


def watch(
    sights: Iterable[StepObservation], state: RunState = STATE, memory: GuardianState | None = None
) -> tuple[GuardianState, list[Decision]]:
    """Pass steps to the guardian one by one, and return its decisions."""
    memory, intents = memory or GuardianState(), []
    for observation in sights:
        memory, intent = consider(memory, observation, state, SETTINGS)
        intents.append(intent)
    return memory, intents


def wanted(
    sights: Iterable[StepObservation], state: RunState = STATE, memory: GuardianState | None = None
) -> list[Decision]:
    return [intent for intent in watch(sights, state, memory)[1] if intent != NOTHING]


def test_finite_steps_and_single_bad_ones_are_left_alone() -> None:
    assert wanted([good(1), bad(2), good(3), bad(4), good(5)]) == []


def test_so_many_bad_steps_within_a_window_lead_back_and_to_a_lower_rate() -> None:
    (intent,) = wanted([bad(4), good(5), bad(6), bad(9)])
    assert intent.commands == MEND
    assert intent.reason.startswith("3 steps were not finite within 10, the last at step 9: loss dice")


def test_bad_steps_further_apart_are_never_counted_together() -> None:
    assert wanted(bad(number) for number in range(1, 100, 5)) == []


def test_bad_weights_are_not_waited_for() -> None:
    (intent,) = wanted([bad(4, sound=False)])
    assert intent.commands == MEND and "weights or moments are not finite at step 4" in intent.reason


def test_what_the_loss_scaling_mends_by_itself_is_not_counted() -> None:
    assert wanted(bad(number, excused=True) for number in range(1, 10)) == []
    assert wanted((bad(number, excused=True) for number in range(1, 10)), TRIED) == []


def test_it_asks_for_a_rollback_though_no_good_checkpoint_is_known_yet() -> None:
    (intent,) = wanted([bad(1), bad(2), bad(3)], replace(STATE, good_checkpoint=""))
    assert intent.commands == MEND


def test_what_it_acted_upon_is_not_counted_again() -> None:
    steps = [bad(1), bad(2), bad(3), bad(2), bad(3)]
    assert len(wanted(steps)) == 1


def _rotten() -> list[StepObservation]:
    """Every step is bad, whatever is done: three rounds of rollback to step 10."""
    return [bad(number, terms=("active_contour",)) for _ in range(3) for number in (11, 12, 13)]


def test_after_too_many_rollbacks_the_refinement_to_blame_goes_off() -> None:
    first, second, third = wanted(_rotten())
    assert first.commands == second.commands == MEND
    assert third.commands == (c.Rollback(), c.DisableRefinement("active_contour_loss"))
    assert "active_contour_loss is to blame" in third.reason


def test_where_nothing_is_to_blame_it_gives_up_and_says_where_the_fault_began() -> None:
    steps = [bad(number, terms=("dice",)) for _ in range(3) for number in (11, 12, 13)]
    steps[0] = replace(steps[0], fault=fault(module="extractor.stage", operation="div", term="dice", refinement=""))
    *_, last = wanted(steps)
    assert last.commands == ()
    assert "after 2 attempts" in last.give_up
    assert "div in extractor.stage (backward), loss term dice" in last.give_up
    assert "step-00000010.pt" in last.give_up
    assert "no refinement that is on is to blame" in last.give_up


def test_a_refinement_that_is_off_already_is_not_to_blame() -> None:
    state = replace(STATE, refinements=refinements_of(1))
    assert wanted(_rotten(), state)[-1].give_up
    other = replace(state, spec=replace(state.spec, component_noun="component"))
    assert "no component that is on is to blame" in wanted(_rotten(), other)[-1].give_up


def test_the_replay_says_who_is_to_blame_even_of_steps_that_were_not_replayed() -> None:
    steps = [bad(number, modules=("extractor", "gate")) for _ in range(3) for number in (11, 12, 13)]
    steps[0] = replace(steps[0], fault=fault(refinement="boundary_refinement"))
    assert wanted(steps)[-1].commands == (c.Rollback(), c.DisableRefinement("boundary_refinement"))


def test_a_fault_that_vanished_on_replay_is_laid_on_the_term_that_was_bad() -> None:
    steps = _rotten()
    steps[0] = replace(steps[0], fault=fault(verdict="vanished on replay", direction="", module="", refinement=""))
    *_, last = wanted(steps)
    assert last.commands == (c.Rollback(), c.DisableRefinement("active_contour_loss"))
    assert "vanished on replay" in last.reason


def test_the_only_module_with_a_bad_gradient_is_to_blame_if_it_is_a_refinement() -> None:
    steps = [bad(number, modules=("boundary_refinement",)) for _ in range(3) for number in (11, 12, 13)]
    assert wanted(steps)[-1].commands == (c.Rollback(), c.DisableRefinement("boundary_refinement"))


def test_a_run_that_gets_past_its_fault_starts_a_new_stretch() -> None:
    memory, _ = watch([bad(11), bad(12), bad(13), bad(11), bad(12), bad(13)])
    assert memory.attempts == 2 and memory.farthest == 13
    assert watch([good(113)], memory=memory)[0].attempts == 2
    assert watch([good(114)], memory=memory)[0].attempts == 0


def test_rolling_back_far_does_not_start_a_new_stretch() -> None:
    memory, _ = watch([bad(501), bad(502), bad(503)])
    memory, _ = watch((good(number) for number in range(100, 500)), memory=memory)
    assert memory.attempts == 1


# --- data -----------------------------------------------------------------------------------


def test_samples_that_are_not_finite_are_excluded_at_once_and_not_counted() -> None:
    sights = [bad(number, fault=fault(direction="input", sample_ids=("x#1",))) for number in (4, 5, 6)]
    intents = wanted(sights)
    assert [intent.commands for intent in intents] == [(c.ExcludeSamples(("x#1",)),)] * 3
    assert "pixels" in intents[0].reason


def test_samples_that_are_not_finite_do_not_end_a_probation() -> None:
    (intent,) = wanted([bad(30, fault=fault(direction="input"))], TRIED)
    assert intent.probation is None and isinstance(intent.commands[0], c.ExcludeSamples)


def test_batches_that_are_bad_again_after_a_rollback_while_others_are_not_are_excluded() -> None:
    steps = [bad(12, "a", "b"), good(13), bad(14, "c"), bad(16, "d")]
    first, second = wanted([*steps, good(11), *steps])
    assert first.commands == MEND, "once is no pattern"
    assert second.commands == (*MEND, c.ExcludeSamples(("a", "b", "c", "d")))
    assert "the same batches" in second.reason


def test_where_every_step_is_bad_the_data_is_not_to_blame() -> None:
    steps = [bad(12, "a"), bad(13, "b"), bad(14, "c")]
    assert [intent.commands for intent in wanted([*steps, *steps])] == [MEND, MEND]


# --- spikes and probation -------------------------------------------------------------------


def _storm() -> list[StepObservation]:
    return [good(31, spiked=True), good(40), good(45, spiked=True), good(58, spiked=True)]


def test_a_storm_of_spikes_is_left_to_the_alerts_unless_asked_for() -> None:
    assert wanted(_storm()) == []
    settings = SETTINGS.model_copy(update={"on_spike_storm": "lower_lr"})
    memory, intent = GuardianState(), NOTHING
    for observation in _storm():
        memory, intent = consider(memory, observation, STATE, settings)
    assert intent.commands == (c.ScaleLr(0.5),) and "3 spikes within 50 steps, the last at step 58" in intent.reason


@pytest.mark.parametrize(
    ("sights", "why"),
    [
        ([bad(30)], "step 30 was not finite"),
        ([bad(30, sound=False)], "step 30 was not finite"),
        (_storm(), "3 spikes within 50 steps"),
        ([good(30, steep=True)], "gradient norms stay over their bound at step 30"),
    ],
    ids=["bad step", "bad weights", "storm", "steep"],
)
def test_trouble_in_a_probation_takes_the_run_back_to_the_phase_before(sights: list[StepObservation], why: str) -> None:
    (intent,) = wanted(sights, TRIED)
    assert intent.probation is False
    assert intent.commands == (c.Rollback("step-00000020.pt"), c.DemotePhase())
    assert intent.reason.startswith("phase 2 failed its probation: ") and why in intent.reason


def test_a_probation_without_trouble_is_passed_at_its_last_step() -> None:
    assert wanted((good(number) for number in range(21, 60)), TRIED) == []
    (intent,) = wanted([good(60)], TRIED)
    assert intent.probation is True and intent.commands == ()


def test_steep_gradients_outside_a_probation_are_left_to_the_alerts() -> None:
    assert wanted([good(30, steep=True)]) == []


def test_the_way_back_undoes_exactly_what_the_promotion_enabled() -> None:
    assert way_back(STATE, PROBATION) == (c.DemotePhase(),)
    leapt = replace(STATE, phase=3, refinements=refinements_of(3))
    assert way_back(leapt, PROBATION) == (c.DisableRefinement("active_contour_loss"),)
    off = replace(STATE, refinements=refinements_of(1), phase=1)
    assert way_back(off, replace(PROBATION, enabled=("contour_detection",))) == ()

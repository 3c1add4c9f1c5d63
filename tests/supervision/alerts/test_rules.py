"""Alert rules: when they fire, how often, what they say and send, and what survives a checkpoint."""

from __future__ import annotations

import time

import pytest

from engine.config.supervision_sections import AlertRule
from engine.errors import UserError
from engine.protocol import commands as c
from engine.protocol.codec import from_json, from_text, to_text
from engine.protocol.commands import RULE, Request
from engine.protocol.events import AlertRaised, ValidationCompleted
from engine.protocol.state import RunState
from engine.protocol.task_spec import Metric, TaskSpec, Term
from engine.supervision.alerts.rules import AlertRules, RulesMemory, check_rules

STATE = RunState("r", phase=1, skipped_steps=2)
HIGH = AlertRule(name="high", when="loss>2", again_after_steps=5)


def fired_at(rules: AlertRules, losses: list[float], first: int = 1) -> list[int]:
    """The steps at which a rule fires while the loss takes these values."""
    rows = ({"loss/total": loss, "grad_norm/total": 1.0, "lr": 1e-3} for loss in losses)
    return [number for number, row in enumerate(rows, first) if rules.observe(number, row, STATE)]


def test_a_rule_fires_at_the_step_at_which_its_condition_holds() -> None:
    rules = AlertRules([HIGH])
    assert rules.observe(1, {"loss/total": 1.0}, STATE) == []
    (fired,) = rules.observe(2, {"loss/total": 3.0}, STATE)
    assert fired.alert == AlertRaised("rule high", "loss > 2 (loss 3)", at_step=2, severity="warning")
    assert fired.request is None


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ({}, [2, 7, 12]),
        ({"again_after_steps": 1}, [*range(2, 15)]),
        ({"once": True}, [2]),
        ({"for_steps": 4}, [5, 10]),
        ({"for_steps": 14}, []),
    ],
)
def test_a_condition_that_lasts_fires_again_after_a_rest(more: dict[str, int], steps: list[int]) -> None:
    rules = AlertRules([HIGH.model_copy(update=more)])
    assert fired_at(rules, [1.0, *[3.0] * 13]) == steps


def test_steps_must_be_consecutive() -> None:
    rules = AlertRules([HIGH.model_copy(update={"for_steps": 3})])
    assert fired_at(rules, [3, 3, 1, 3, 3, float("nan"), 3, 3, 3]) == [9]


def test_a_rollback_starts_the_condition_over_but_keeps_the_rest() -> None:
    rules = AlertRules([HIGH.model_copy(update={"for_steps": 2})])
    assert fired_at(rules, [3, 3, 3]) == [2]
    assert fired_at(rules, [3, 3, 3, 3, 3], first=1) == [4]  # 1 + 4 steps were trained since


def test_a_command_is_requested_with_the_reason() -> None:
    rule = AlertRule(name="cool", when="phase==1 and nan>1", command="lower-lr 0.5", severity="error", for_steps=2)
    rules = AlertRules([rule])
    rules.observe(1, {}, STATE)
    (fired,) = rules.observe(2, {}, STATE)
    why = "phase == 1 and nan > 1 (phase 1, nan 2) for 2 steps"
    assert fired.alert == AlertRaised("rule cool", why, "the rule sends `lower-lr 0.5`", at_step=2, severity="error")
    assert fired.request == Request(0, RULE, c.ScaleLr(0.5), f"rule cool: {why}")


def test_the_newest_validation_counts_until_the_next() -> None:
    rules = AlertRules([AlertRule(name="worse", when="val/loss>1 or val/acc<.1", again_after_steps=1)])
    assert rules.observe(1, {}, STATE) == []
    rules.note_validation(ValidationCompleted(2.0, {"acc": 0.5}, 0.1))
    assert [fired.alert.message for fired in rules.observe(2, {}, STATE)] == ["val/loss > 1 (val/loss 2)"]
    rules.note_validation(ValidationCompleted(None, {"acc": 0.05}, 0.1))
    assert [fired.alert.message for fired in rules.observe(3, {}, STATE)] == ["val/acc < 0.1 (val/acc 0.05)"]
    rules.note_validation(ValidationCompleted(0.5, {"acc": 0.5}, 0.1))
    assert rules.observe(4, {}, STATE) == []


def test_the_memory_survives_a_checkpoint() -> None:
    rule = HIGH.model_copy(update={"when": "loss>2 and val/acc>.1"})
    whole, first, second = AlertRules([rule]), AlertRules([rule]), AlertRules([rule])
    for rules in (whole, first):
        rules.note_validation(ValidationCompleted(1.0, {"acc": 0.5}, 0.1))
        assert fired_at(rules, [3, 3]) == [1]
    second.recall(from_json(RulesMemory, from_text(to_text(first.memory()))))
    assert fired_at(whole, [3] * 9, first=3) == fired_at(second, [3] * 9, first=3) == [6, 11]
    assert fired_at(AlertRules([rule]), [3] * 9, first=3) == []  # without the memory there is no validation


def test_a_rule_that_a_checkpoint_does_not_know_starts_with_nothing() -> None:
    rules = AlertRules([HIGH])
    rules.recall(RulesMemory())
    assert fired_at(rules, [3.0]) == [1]


def test_a_metric_that_no_step_records_raises_one_alert() -> None:
    rules = AlertRules([AlertRule(name="odd", when="grad_norm/totl>1")])
    (fired,) = rules.observe(1, {"loss/total": 1.0, "grad_norm/total": 1.0}, STATE)
    assert fired.alert.kind == "rule odd" and "did you mean 'grad_norm/total'" in fired.alert.message
    assert rules.observe(2, {"loss/total": 1.0, "grad_norm/total": 1.0}, STATE) == []


def test_a_metric_that_the_task_does_not_have_is_a_mistake() -> None:
    spec = TaskSpec("t", terms=(Term("ce"),), metrics=(Metric("acc"),), score="acc")
    check_rules([AlertRule(name="a", when="loss/ce>1 or val/acc<1 or loss/total>1 or system/ram>1 or nan>1")], spec)
    with pytest.raises(UserError, match=r"the alert rule 'a': .* no 'val/ac': did you mean 'val/acc'"):
        check_rules([AlertRule(name="a", when="loss>1 or val/ac<1")], spec)


def test_a_step_costs_microseconds() -> None:
    rules = AlertRules([HIGH.model_copy(update={"name": f"r{n}", "when": "loss>2 and not lr<1e-9"}) for n in range(10)])
    row = {"loss/total": 1.0, "lr": 1e-3, **{f"m/{n}": 0.0 for n in range(100)}}
    started = time.thread_time()
    for number in range(1, 1001):
        rules.observe(number, row, STATE)
    assert (time.thread_time() - started) / 1000 < 1e-3

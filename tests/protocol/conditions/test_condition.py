"""Conditions: their grammar, their truth at one moment, the part that holds, and one sentence for every mistake."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UserError
from engine.protocol.conditions.condition import Condition
from engine.protocol.conditions.moment import STATE_NAMES, Quantity, RunMoment
from engine.protocol.conditions.parts import Both, Either, Negation, Node, comparison_of
from engine.protocol.conditions.syntax import metrics_of, parse_condition
from engine.protocol.events import Activity
from engine.protocol.state import RunState
from engine.protocol.task_spec import Metric, TaskSpec, Term

STATE = RunState(
    "r", activity=Activity.RUNNING, step=120, epoch=2, phase=2, lr=1e-3, loss=0.5, score=0.4, skipped_steps=1, alerts=3
)
METRICS = {"val/loss": 0.25, "loss/total": 0.75, "grad_norm/total": 2.0, "loss": 9.0, "odd name": 1.0, "gap": math.nan}
MOMENT = RunMoment(STATE, METRICS)

PROPERTY = settings(derandomize=True, deadline=None, max_examples=150)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("phase>=2", True),
        ("phase > 2", False),
        ("phase >= 2 or nan > 5", True),
        ("phase>=3 or nan>0 or score>.5", True),
        ("phase>=2 and nan>1", False),
        ("not phase>=3", True),
        ("not (phase>=2 and nan>0)", False),
        ("phase>=3 or nan>0 and alerts==3", True),
        ("(phase>=3 or nan>0) and alerts==4", False),
        ("2 <= phase", True),
        ("0 < loss < 1", True),
        ("0 < loss < .5", False),
        ("step != 119", True),
        ("lr == 1e-3", True),
        ("loss > -1", True),
        ("val/loss < score", True),
        ("'val/loss' <= .25", True),
        ('"odd name" == 1', True),
        ("loss == .5", True),
        ('"loss" == 9', True),
        ("activity == running", True),
        ("activity != 'paused'", True),
        ("paused == activity", False),
        ("gap > 0", False),
        ("gap <= 0", False),
        ("gap != 0", True),
    ],
)
def test_a_condition_holds_or_not(text: str, holds: bool) -> None:
    assert parse_condition(text, METRICS).holds(MOMENT) is holds


@pytest.mark.parametrize("text", ["best>0", "not best>0", "best>0 and phase==2", "not (best>0 or phase==3)"])
def test_what_depends_on_a_value_that_is_not_there_yet_does_not_hold(text: str) -> None:
    condition = parse_condition(text)
    assert not condition.holds(MOMENT)
    assert condition.values(MOMENT)["best"] is None


def test_a_value_that_is_not_there_does_not_hide_what_is_known() -> None:
    assert parse_condition("best>0 or phase==2").holds(MOMENT)
    assert parse_condition("not (best>0 and phase==3)").holds(MOMENT)


def test_the_row_of_a_step_comes_before_the_state() -> None:
    row = RunMoment(STATE, {"loss/total": 7.0, "grad_norm/total": 3.0, "lr": 2e-3}, step=40)
    condition = parse_condition("step==40 and loss==7 and grad_norm==3 and lr==.002 and phase==2")
    assert condition.holds(row)
    assert not condition.holds(RunMoment(STATE, row.metrics))


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("phase>=3 or nan>0 or score>.1", "nan > 0 (nan 1)"),
        ("phase>=2 and (nan>9 or loss<1)", "phase >= 2 and loss < 1 (phase 2, loss 0.5)"),
        ("not phase>=3", "not (phase >= 3) (phase 2)"),
        ("activity==running", "activity == running (activity running)"),
        ("val/loss<score", "val/loss < score (val/loss 0.25, score 0.4)"),
    ],
)
def test_the_part_that_holds_is_named_with_its_values(text: str, held: str) -> None:
    assert parse_condition(text, METRICS).held(MOMENT).text == held


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "a name or a number is missing at the end"),
        ("phase>=", "a name or a number is missing at the end"),
        ("phase", "'phase' is compared with nothing"),
        ("phase>=2 nan>0", "'nan' is too much"),
        ("phase>=2 and and nan>0", "a name or a number is missing before 'and'"),
        ("(phase>=2", "a parenthesis is not closed"),
        ("phase=2", "'=' is not understood: write '=='"),
        ("phase>1 && nan>0", "'&' is not understood: write 'and'"),
        ("1<2", "1<2 compares two numbers"),
        ("2x>phase", "'2' is not understood"),
        ("phse>=2", "there is no 'phse': did you mean 'phase'?"),
        ("activity==rning", "there is no activity 'rning': did you mean 'running'?"),
        ("activity>running", "activity is compared by == or !=, not >"),
        ("__import__('os')>1", "is compared with nothing"),
        ("(" * 60 + "phase>1" + ")" * 60, "more than 50 parts are nested"),
        ("not " * 60 + "phase>1", "more than 50 parts are nested"),
        ("x" * 1001, "a condition has at most 1000 letters"),
    ],
)
def test_a_mistake_is_one_sentence(text: str, problem: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_condition(text)
    assert problem in str(raised.value) and "\n" not in str(raised.value)


def test_a_metric_is_checked_against_those_of_the_run() -> None:
    assert parse_condition("val/losss<1").metrics() == ("val/losss",)
    with pytest.raises(UserError, match="there is no 'val/losss': did you mean 'val/loss'"):
        parse_condition("val/losss<1", METRICS)
    with pytest.raises(UserError, match="there is no 'zzz': there are step, epoch"):
        parse_condition("zzz>1", {})
    with pytest.raises(UserError, match="no metric is called 'step': write it without quotes"):
        parse_condition('"step">3', {})


def test_a_task_names_the_metrics_that_will_come() -> None:
    spec = TaskSpec("t", terms=(Term("ce"),), metrics=(Metric("acc"),), score="acc")
    assert {"loss/ce", "val/loss", "val/acc", "val/loss/ce"} <= metrics_of(spec)


def _comparisons() -> st.SearchStrategy[Node]:
    names = st.sampled_from([name for name in STATE_NAMES if name != "activity"])
    quantities = names.map(Quantity) | st.sampled_from(sorted(METRICS)).map(lambda name: Quantity(name, True))
    bounds = st.floats(allow_nan=False, allow_infinity=False) | quantities
    signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    words = st.sampled_from([str(activity) for activity in Activity])
    of_activity = st.builds(comparison_of, st.just(Quantity("activity")), st.sampled_from(["==", "!="]), words)
    return st.builds(comparison_of, quantities, signs, bounds) | of_activity


def _nodes() -> st.SearchStrategy[Node]:
    def larger(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        several = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return inner.map(Negation) | several.map(Both) | several.map(Either)

    return st.recursive(_comparisons(), larger, max_leaves=8)


@PROPERTY
@given(_nodes())
def test_a_condition_reads_back_as_it_is_written(node: Node) -> None:
    read = parse_condition(str(node), METRICS)
    assert str(read.root) == str(node)
    for moment in (MOMENT, RunMoment(replace(STATE, score=None, loss=None), {})):
        assert read.root.holds(moment) == node.holds(moment)


@PROPERTY
@given(_nodes())
def test_the_part_that_holds_holds_and_a_negation_does_not(node: Node) -> None:
    condition = Condition(str(node), node)
    if condition.holds(MOMENT):
        assert parse_condition(condition.held(MOMENT).part, METRICS).holds(MOMENT)
        assert not Condition("", Negation(node)).holds(MOMENT)


@PROPERTY
@given(st.text(st.sampled_from("phasenot r()<>=!.0123e-'\"/&|x\n"), max_size=40) | st.text(max_size=20))
def test_any_text_is_a_condition_or_one_sentence(text: str) -> None:
    try:
        condition = parse_condition(text)
    except UserError as error:
        assert str(error).isprintable()
    else:
        assert condition.holds(MOMENT) in (True, False)

"""Contradictions in a task's spec."""

from __future__ import annotations

import pytest

from engine.config.task.spec_check import spec_mistake
from engine.errors import UserError
from engine.protocol.task_spec import Component, Metric, Phase, TaskSpec, Term, Unsupported
from engine.tasks.person.spec import SPEC

SCORED = {"metrics": (Metric("m"),), "score": "m"}


@pytest.mark.parametrize(
    ("spec", "mistake"),
    [
        (TaskSpec(**SCORED), "the spec has no loss term"),
        (TaskSpec(terms=(Term("a"), Term("a")), **SCORED), "2 terms are called 'a'"),
        (TaskSpec(terms=(Term("total"), Term("a")), **SCORED), "a term is called 'total', the name of the sum of all"),
        (TaskSpec(terms=(Term("a"),), metrics=(Metric("loss"), Metric("m")), score="m"), "a metric is called 'loss'"),
        (TaskSpec(terms=(Term("loss"),), metrics=(Metric("total"),), score="total"), ""),
        (TaskSpec(terms=(Term("a b"),), **SCORED), "a term is called 'a b'"),
        (TaskSpec(terms=(Term("a"),)), "the score '' is not among the metrics: there is none"),
        (TaskSpec(terms=(Term("a", "c"),), components=(Component("c"),), **SCORED), "every loss term belongs to"),
        (
            TaskSpec(terms=(Term("a"),), metrics=(Metric("m", lower_is_better=True),), score="m"),
            "a lower 'm' is better, says its metric: set lower_is_better in the spec too",
        ),
        (TaskSpec(terms=(Term("a"),), phases=(), **SCORED), "the spec has no phase"),
        (
            TaskSpec(
                terms=(Term("a"),),
                components=(Component("b", excludes=("c",)), Component("c")),
                phases=(Phase("base"), Phase("all", adds=("b", "c"))),
                **SCORED,
            ),
            "the phase 'all' has components that exclude each other: b, c",
        ),
        (
            TaskSpec(terms=(Term("a"),), components=(Component("b", excludes=("d",)),), **SCORED),
            "the component 'b' excludes the component 'd', which the spec lacks: there are b",
        ),
        (
            TaskSpec(terms=(Term("a"),), unsupported=(Unsupported("validat", "no data"),), **SCORED),
            "the unsupported command 'validat' does not exist: did you mean 'validate'?",
        ),
        (
            TaskSpec(terms=(Term("a"),), unsupported=(Unsupported("step", "x"), Unsupported("step", "y")), **SCORED),
            "2 reasons say why 'step' is unsupported; give one",
        ),
        (
            TaskSpec(terms=(Term("a"),), unsupported=(Unsupported("step", " "),), **SCORED),
            "the unsupported command 'step' has no reason; say what to use instead",
        ),
        (TaskSpec(terms=(Term("a"),), unsupported=(Unsupported("step", "no"),), **SCORED), ""),
        (TaskSpec(terms=(Term("a"),), **SCORED), ""),
        (SPEC, ""),
    ],
)
def test_a_spec_that_contradicts_itself_is_said(spec: TaskSpec, mistake: str) -> None:
    assert spec_mistake(spec).startswith(mistake) and bool(spec_mistake(spec)) is bool(mistake)


def test_a_spec_finds_its_terms_and_components() -> None:
    assert SPEC.component_of("contour") == "contour_detection" and SPEC.component_of("dice") == ""
    assert SPEC.term_of("contour_detection") == "contour" and SPEC.term_of("subpixel_conv") == ""
    assert SPEC.last_phase == 4 and "contour" in SPEC.clamped_terms() and "dice" not in SPEC.clamped_terms()


def test_another_metric_can_be_the_score_with_its_own_direction() -> None:
    spec = TaskSpec(metrics=(Metric("m"), Metric("error", "Error", 0, 2, lower_is_better=True)), score="m")
    assert spec.scored_by("") is spec and spec.scored_by("m") is spec
    other = spec.scored_by("error")
    assert (other.score, other.lower_is_better, other.score_title, other.score_range) == ("error", True, "Error", 2)
    with pytest.raises(UserError, match=r"no metric 'err0r'; did you mean 'error'\?"):
        spec.scored_by("err0r")

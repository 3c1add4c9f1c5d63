"""The spec of a task as plain data: loss terms, components, phases and scores, for the engine and the screen.

The journal's meta holds it, so that any run can be shown without the task's code.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from engine.errors import UserError, did_you_mean
from engine.protocol.record import record

NO_PHASES: Final = "the task has no phases to promote through"


@record
class Term:
    """One loss term, computed while `component` is on, or always if that is an empty string.

    `clamped` is whether loss.clamp_max bounds it.
    """

    name: str
    component: str = ""
    weight: float = 1.0
    clamped: bool = False


@record
class Component:
    """A part of the task that can be switched during training.

    `reads` names the junction where its gradient share is measured. `has_parameters` is False if it is only a loss.
    `excludes` names the components that cannot be on together with it. `remedy` is shown with a fault of it.
    """

    name: str
    title: str = ""
    reads: str = "features"
    has_parameters: bool = True
    excludes: tuple[str, ...] = ()
    remedy: str = ""


@record
class Phase:
    """One phase: its title, and the components that it adds to the previous phase."""

    title: str
    adds: tuple[str, ...] = ()


@record
class Metric:
    """A validation metric, `val/<name>` in the journal; `low` and `high` bound its axis, `None` if unknown.

    `lower_is_better` counts if the metric becomes the score by `validation.score`.
    """

    name: str
    title: str = ""
    low: float | None = None
    high: float | None = None
    lower_is_better: bool = False


@record
class Unsupported:
    """A command, by its `op`, that runs of the task cannot carry out; the `reason` says what to use instead."""

    op: str
    reason: str


@record
class TaskSpec:
    """All properties of a task for generic code. `score` is the metric of best checkpoint, gate and header.

    `lower_is_better` is whether a smaller score is better, as for a perplexity. `knows_data` is whether epochs, samples
    and waiting for data are counted.
    """

    name: str = ""
    terms: tuple[Term, ...] = ()
    metrics: tuple[Metric, ...] = ()
    score: str = ""
    lower_is_better: bool = False
    components: tuple[Component, ...] = ()
    phases: tuple[Phase, ...] = (Phase("base"),)
    classes: tuple[tuple[str, str], ...] = ()
    component_noun: str = "component"
    sample_noun: str = "sample"
    unsupported: tuple[Unsupported, ...] = ()
    knows_data: bool = True

    def scored_by(self, name: str) -> TaskSpec:
        """Return the spec with the metric `name` as its score; the same spec if `name` is empty or its score.

        Raises UserError if there is no such metric.
        """
        if name in ("", self.score):
            return self
        metric = next((metric for metric in self.metrics if metric.name == name), None)
        if metric is None:
            raise UserError(
                f"there is no metric {name!r}; {did_you_mean(name, (known.name for known in self.metrics))}"
            )
        return replace(self, score=name, lower_is_better=metric.lower_is_better)

    def why_unsupported(self, op: str) -> str:
        """Return why runs of the task cannot carry out the command `op`; an empty string if they can."""
        return next((known.reason for known in self.unsupported if known.op == op), "")

    @property
    def term_names(self) -> tuple[str, ...]:
        """Return the names of all loss terms, in their order."""
        return tuple(term.name for term in self.terms)

    @property
    def component_names(self) -> tuple[str, ...]:
        """Return the names of all components, in the order of their number keys."""
        return tuple(component.name for component in self.components)

    @property
    def last_phase(self) -> int:
        """Return the number of the highest phase."""
        return len(self.phases) - 1

    def why_no_next(self, phase: int) -> str:
        """Return why no phase follows `phase`; an empty string if one does."""
        if phase < self.last_phase:
            return ""
        return f"phase {self.last_phase} is the last" if self.last_phase else NO_PHASES

    def active_terms(self, on: frozenset[str]) -> tuple[str, ...]:
        """Return the terms computed while the components `on` are on, in the order of `terms`."""
        return tuple(term.name for term in self.terms if not term.component or term.component in on)

    def component_of(self, term: str) -> str:
        """Return the component of the loss term `term`; an empty string if it has none or is unknown."""
        return next((known.component for known in self.terms if known.name == term), "")

    def term_of(self, component: str) -> str:
        """Return the loss term of `component`; an empty string if it has none."""
        return next((term.name for term in self.terms if component and term.component == component), "")

    def component(self, name: str) -> Component | None:
        """Return the component named `name`, or `None`."""
        return next((component for component in self.components if component.name == name), None)

    def clamped_terms(self) -> frozenset[str]:
        """Return the terms bounded by loss.clamp_max."""
        return frozenset(term.name for term in self.terms if term.clamped)

    def rivals(self, name: str, on: frozenset[str]) -> frozenset[str]:
        """Return the components in `on` that exclude the component `name`."""
        excludes = {known.name: set(known.excludes) for known in self.components}
        return frozenset(other for other in on if other in excludes[name] or name in excludes.get(other, set()))

    def why_not_enter(self, phase: int, on: frozenset[str]) -> str:
        """Return why `phase` cannot be entered while the components `on` are on; an empty string if it can."""
        for name in self.phases[phase].adds:
            if name not in on and (rivals := self.rivals(name, on)):
                return f"phase {phase} adds {name}, and {min(rivals)} excludes it; disable that one first"
        return ""

    def better(self, best: float | None, score: float) -> float:
        """Return the better of two scores; `best` is `None` before the first."""
        if best is None:
            return score
        return min(best, score) if self.lower_is_better else max(best, score)

    def metric_title(self, name: str) -> str:
        """Return the title of the metric `name`, or the name itself if it has none."""
        return next((metric.title for metric in self.metrics if metric.name == name and metric.title), name)

    @property
    def score_range(self) -> float | None:
        """Distance between the bounds of the score; `None` if it has none."""
        score = next((metric for metric in self.metrics if metric.name == self.score), None)
        if score is None or score.low is None or score.high is None:
            return None
        return score.high - score.low

    @property
    def score_title(self) -> str:
        """Title of the score."""
        return self.metric_title(self.score)

    def components_of(self, phase: int) -> frozenset[str]:
        """Return the components that `phase` (from 0) and the phases below it add."""
        return frozenset(name for step in self.phases[: phase + 1] for name in step.adds)

    def phase_of(self, on: frozenset[str]) -> int:
        """Return the highest phase all of whose components are in `on`, 0 if there is none."""
        return max((number for number in range(len(self.phases)) if self.components_of(number) <= on), default=0)


NO_SPEC: Final = TaskSpec()
"""The spec of an unknown task."""

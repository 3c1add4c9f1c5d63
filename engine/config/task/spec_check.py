"""Find contradictions in a task's spec before training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from engine.config.sections import Section
from engine.errors import did_you_mean
from engine.protocol.task_spec import Component, Metric, Phase, TaskSpec, Term, Unsupported
from engine.protocol.wire import OPS

_KINDS: Final = {
    "terms": Term,
    "metrics": Metric,
    "components": Component,
    "phases": Phase,
    "unsupported": Unsupported,
}

_TAKEN: Final = {"term": "total", "metric": "loss"}
"""Names whose metrics, `loss/total` and `val/loss`, every run has."""


def spec_mistake(spec: TaskSpec) -> str:
    """Return the first mistake in `spec`, without a full stop; an empty string if there is none."""
    return next(_mistakes(spec), "")


def _mistakes(spec: TaskSpec) -> Iterator[str]:
    yield from _odd_kinds(spec)
    metrics = tuple(metric.name for metric in spec.metrics)
    if not spec.terms:
        yield "the spec has no loss term"
    for kind, names in (("term", spec.term_names), ("component", spec.component_names), ("metric", metrics)):
        yield from _odd_names(kind, names)
    if spec.score not in metrics:
        yield f"the score {spec.score!r} is not among the metrics: {_nearest(spec.score, metrics)}"
    elif not spec.lower_is_better and any(known.name == spec.score and known.lower_is_better for known in spec.metrics):
        yield f"a lower {spec.score!r} is better, says its metric: set lower_is_better in the spec too"
    if not spec.active_terms(frozenset()):
        yield "every loss term belongs to a component: none is left while all components are off"
    if not spec.phases:
        yield "the spec has no phase; give at least Phase('base')"
    for term in spec.terms:
        yield from _unknown(spec, f"the term {term.name!r} belongs to", (term.component,) if term.component else ())
    yield from _odd_values(spec)
    for component in spec.components:
        yield from _unknown(spec, f"the component {component.name!r} excludes", component.excludes)
    yield from _phases(spec)
    yield from _unsupported(spec)


# `Any`: a spec written by hand may hold anything.
def _odd_kinds(spec: Any) -> Iterator[str]:
    """Yield fields that are no tuples, as without the comma of a tuple of one, or hold something else."""
    for name, kind in _KINDS.items():
        yield from _no_tuple(f"the spec: {name}", getattr(spec, name), kind)
    for component in spec.components:
        yield from _no_tuple(f"the component {component.name!r}: excludes", component.excludes, str)
    for phase in spec.phases:
        yield from _no_tuple(f"the phase {phase.title!r}: adds", phase.adds, str)


def _no_tuple(what: str, held: Any, kind: type) -> Iterator[str]:
    if not isinstance(held, tuple | list):
        one = "'name'" if kind is str else f"{kind.__name__}(...)"
        yield f"{what} is a {type(held).__name__} and no tuple: write ({one},), with a comma, for a single one"
        return
    yield from (f"{what} holds {item!r}, which is no {kind.__name__}" for item in held if not isinstance(item, kind))


def _odd_values(spec: TaskSpec) -> Iterator[str]:
    weights = ((term.name, term.weight) for term in spec.terms if not _is_weight(term.weight))
    yield from (f"the term {name!r} has the weight {weight!r}: give a number from 0 on" for name, weight in weights)
    for metric in spec.metrics:
        yield from _bounds(metric)
    for component in spec.components:
        yield from _odd_component(component)


def _is_weight(held: Any) -> bool:
    """Return whether `held` can be the weight of a term: a spec written by hand may hold anything."""
    return isinstance(held, int | float) and 0 <= held < math.inf


def _odd_component(component: Component) -> Iterator[str]:
    name = component.name
    if name.startswith("_") or (name.startswith("model_") and hasattr(Section, name)):
        yield f"a component is called {name!r}, which cannot be a key of the configuration: rename it"
    if name in component.excludes:
        yield f"the component {name!r} excludes itself"


def _bounds(metric: Metric) -> Iterator[str]:
    bounds: list[Any] = [bound for bound in (metric.low, metric.high) if bound is not None]
    if not all(isinstance(bound, int | float) and math.isfinite(bound) for bound in bounds):
        yield f"the metric {metric.name!r} has bounds that are no finite numbers: {metric.low!r} and {metric.high!r}"
    elif len(bounds) == 2 and bounds[0] >= bounds[1]:
        yield (
            f"the metric {metric.name!r} has the low bound {metric.low} and the high bound {metric.high}: exchange them"
        )


def _unsupported(spec: TaskSpec) -> Iterator[str]:
    for op, count in Counter(known.op for known in spec.unsupported).items():
        if op not in OPS:
            yield f"the unsupported command {op!r} does not exist: {did_you_mean(op, OPS)}"
        if count > 1:
            yield f"{count} reasons say why {op!r} is unsupported; give one"
        if not spec.why_unsupported(op).strip():
            yield f"the unsupported command {op!r} has no reason; say what to use instead"


def _odd_names(kind: str, names: tuple[str, ...]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if not name.isidentifier():
            yield f"a {kind} is called {name!r}; write a name of letters, digits and underscores"
        if count > 1:
            yield f"{count} {kind}s are called {name!r}"
        if name == _TAKEN.get(kind):
            yield f"a {kind} is called {name!r}, the name of the sum of all losses in the journal: rename it"


def _phases(spec: TaskSpec) -> Iterator[str]:
    for number, phase in enumerate(spec.phases):
        yield from _unknown(spec, f"the phase {phase.title!r} adds", phase.adds)
        on = spec.components_of(number)
        clashing = sorted(name for name in on if spec.component(name) is not None and spec.rivals(name, on))
        if clashing:
            yield f"the phase {phase.title!r} has components that exclude each other: {', '.join(clashing)}"


def _unknown(spec: TaskSpec, what: str, names: Iterable[str]) -> Iterator[str]:
    known = spec.component_names
    return (
        f"{what} the component {name!r}, which the spec lacks: {_nearest(name, known)}"
        for name in names
        if name not in known
    )


def _nearest(name: str, known: tuple[str, ...]) -> str:
    return did_you_mean(name, known) if known else "there is none"

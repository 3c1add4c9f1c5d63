"""Find contradictions in a task's spec before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from engine.errors import did_you_mean
from engine.protocol.task_spec import TaskSpec
from engine.protocol.wire import OPS


def spec_mistake(spec: TaskSpec) -> str:
    """Return the first mistake in `spec`, without a full stop; an empty string if there is none."""
    return next(_mistakes(spec), "")


def _mistakes(spec: TaskSpec) -> Iterator[str]:
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
    for component in spec.components:
        yield from _unknown(spec, f"the component {component.name!r} excludes", component.excludes)
    yield from _phases(spec)
    yield from _unsupported(spec)


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

"""The description of a foreign training, which grows while it names its loss terms and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.protocol.engine_events import TaskDescribed
from engine.protocol.evolve import evolve
from engine.protocol.state import RunState
from engine.protocol.task_spec import Metric, TaskSpec, Term


def with_description(state: RunState, fresh: TaskSpec) -> RunState:
    """Return `state` as the program describes it now, by `fresh`: it names terms and metrics only while it trains.

    The score stays unless `fresh` names one. Another score has no best value yet.
    """
    known = state.spec
    scored = fresh if fresh.score else known
    lower = scored.lower_is_better
    spec = replace(fresh, terms=known.terms, metrics=known.metrics, score=scored.score, lower_is_better=lower)
    return evolve(state, TaskDescribed(spec), state.step)


def with_terms(spec: TaskSpec, names: Sequence[str]) -> TaskSpec:
    """Return `spec` with the loss terms `names`; the same object if it has them."""
    fresh = tuple(Term(name) for name in names if name not in spec.term_names)
    return replace(spec, terms=(*spec.terms, *fresh)) if fresh else spec


def with_metrics(spec: TaskSpec, names: Sequence[str]) -> TaskSpec:
    """Return `spec` with the validation metrics `names`; the same object if it has them.

    The first one is the score unless another was named.
    """
    known = {metric.name for metric in spec.metrics}
    fresh = tuple(Metric(name) for name in names if name not in known)
    if not fresh:
        return spec
    score = spec.score or fresh[0].name
    lower = spec.lower_is_better if spec.score else _is_better_when_low(score)
    return replace(spec, metrics=(*spec.metrics, *fresh), score=score, lower_is_better=lower)


def _is_better_when_low(score: str) -> bool:
    return any(word in score.lower() for word in ("loss", "error", "perplexity", "ppl", "mse", "mae", "rmse", "bpc"))

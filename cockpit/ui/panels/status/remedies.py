"""Remedies of an incident: each kind ranks its own, and only those that would change something count."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from cockpit.session.checkpoints import step_of
from cockpit.session.incidents.incidents import Incident
from cockpit.text.command_text import changes_nothing, title
from cockpit.text.event_info import NOT_FINITE, UNSTABLE
from cockpit.text.format import number, rate
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome
from engine.protocol.events import Event, Status
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec

VERY_LOW_LR: Final = 1e-6
"""The learning rate for a run that is still unstable."""

_FIRST_CLIP: Final = 1.0
"""The first bound on the gradient norm of a run without a clip."""


@record
class Remedy:
    """A remedy: its label and its command. The first of several is the recommended one."""

    label: str
    command: Command


def remedies_of(incident: Incident, state: RunState, outcome_of: Callable[[Command], Outcome]) -> tuple[Remedy, ...]:
    """Return the remedies for `incident`, the likeliest to help first, without those that change nothing in `state`.

    `outcome_of` returns the outcome of a command on `state`.
    """
    found: dict[Command, Remedy] = {}
    for remedy in _ranked(incident, state):
        if remedy.command not in found and _would_help(outcome_of(remedy.command)):
            found[remedy.command] = remedy
    return tuple(found.values())


def blamed_component(incident: Incident, spec: TaskSpec) -> str:
    """Return the component that the incident blames; empty string for none. Named faults come first."""
    faults = [entry.event for entry in incident.entries if isinstance(entry.event, e.FaultNamed)]
    others = [entry.event for entry in incident.entries if not isinstance(entry.event, e.FaultNamed)]
    named = (_of_places(_places(event), spec) for event in (*reversed(faults), *reversed(others)))
    return next((name for name in named if name), "")


def _would_help(outcome: Outcome) -> bool:
    return outcome.status is not Status.REFUSED and not changes_nothing(outcome)


# --- remedies by kind --------------------------------------------------------


def _ranked(incident: Incident, state: RunState) -> Iterator[Remedy]:
    """Yield the undo of the likely cause, then the remedies for the gravest kind."""
    if incident.cause is not None and incident.cause.undo is not None:
        yield Remedy(f"take back the likely cause: {title(incident.cause.undo)}", incident.cause.undo)
    yield from _against(incident, state)


def _against(incident: Incident, state: RunState) -> Iterable[Remedy]:
    kinds = incident.kinds
    match next((kind for kind in _GRAVEST_FIRST if kind in kinds), ""):
        case "guardian is off":
            return _join([Remedy("guardian on", c.SetGuardian(True))], _back(state), _calmer(state))
        case "not finite" | "skipped steps" | "RolledBack":
            return _not_finite(incident, state)
        case "dead module" | "vanishing module":
            return _dead(incident, state)
        case "exploding module" | "gradient norm":
            return _exploding(incident, state)
        case "loss clamp":
            return _join([_halved_rate()], _disabled(incident, state), _weights(incident, state, 0.5), _lowest(state))
        case "validation":
            return _join([Remedy("validate again", c.Validate())], _back(state), [_halved_rate()])
        case "plateau":
            return _plateau(state)
        case _ if any(kind.startswith("spike") for kind in kinds):
            return _join([_halved_rate(), *_tighter_clip(state), _accumulated(state)], _back(state), _adam())
        case _ if incident.family == UNSTABLE:
            return _not_finite(incident, state)
        case _:
            return _of_files(incident)


_GRAVEST_FIRST: Final = (
    "guardian is off",
    NOT_FINITE,
    "skipped steps",
    "RolledBack",
    "dead module",
    "exploding module",
    "vanishing module",
    "gradient norm",
    "loss clamp",
    "validation",
    "plateau",
)


def _not_finite(incident: Incident, state: RunState) -> Iterable[Remedy]:
    """Return the remedies by origin: pixels, weights, half precision, a component, or unknown."""
    faults = [entry.event for entry in incident.entries if isinstance(entry.event, e.FaultNamed)]
    direction = faults[-1].direction if faults else ""
    if direction == "input":
        samples = faults[-1].sample_ids
        return _join([Remedy(f"exclude {len(samples)} samples", c.ExcludeSamples(samples))], _back(state))
    if direction in ("weight", "moment"):
        return _join(_back(state), [_halved_rate()], _disabled(incident, state), _lowest(state))
    if faults and "mixed precision" in faults[-1].verdict:
        return _join([_halved_rate(), *_tighter_clip(state)], _disabled(incident, state), _back(state))
    by_place = _join(_disabled(incident, state), _weights(incident, state, 0.5))
    return _join(by_place, _calmer(state), _back(state), _lowest(state), _adam())


def _dead(incident: Incident, state: RunState) -> Iterable[Remedy]:
    """Return the remedies for a dead module: older weights or its own loss, as a lower rate does not revive it."""
    revived = [
        *_weights(incident, state, 2.0),
        *(
            Remedy(f"switch {name} off, and on again later", c.DisableRefinement(name))
            for name in _names(incident, state.spec)
        ),
    ]
    return _join(_before(incident, state), revived, [_halved_rate()], _lowest(state), _adam())


def _exploding(incident: Incident, state: RunState) -> Iterable[Remedy]:
    lighter = _weights(incident, state, 0.5)
    calmer = [_halved_rate(), *_tighter_clip(state)]
    return _join(
        calmer, _before(incident, state), _disabled(incident, state), lighter, [_accumulated(state)], _lowest(state)
    )


def _plateau(state: RunState) -> Iterable[Remedy]:
    """Yield the remedies for a plateau: the configured rate, the next phase if its gate is ready, a lower rate."""
    configured = state.limits.lr_configured
    lowered = state.lr_scale < 1 or state.lr_pin is not None
    if lowered and state.lr < configured / 2:
        yield Remedy(f"learning rate back to {rate(configured)}", c.SetLr(configured))
        yield Remedy("double the learning rate", c.ScaleLr(2.0))
    yield Remedy("promote to the next phase", c.PromotePhase())
    yield _halved_rate()
    yield Remedy("validate now", c.Validate())


def _of_files(incident: Incident) -> Iterable[Remedy]:
    """Yield the remedies for disk and data, which no command repairs: pause, and save a checkpoint."""
    if incident.kinds & {"CheckpointFailed", "CheckpointDamaged", "journal", "tensorboard"}:
        yield Remedy("write a checkpoint now, once there is room", c.SaveCheckpoint())
    if "RunFailed" not in incident.kinds:
        yield Remedy("pause until it is repaired", c.Pause())


# --- single remedies ----------------------------------------------------------------------


def _join(*parts: Iterable[Remedy]) -> Iterator[Remedy]:
    for part in parts:
        yield from part


def _halved_rate() -> Remedy:
    return Remedy("halve the learning rate", c.ScaleLr(0.5))


def _calmer(state: RunState) -> Sequence[Remedy]:
    return _halved_rate(), _accumulated(state)


def _accumulated(state: RunState) -> Remedy:
    return Remedy("twice the batches per update", c.SetAccumulation(state.accumulation * 2))


def _lowest(state: RunState) -> Sequence[Remedy]:
    return (Remedy("LR to 1e-6", c.SetLr(VERY_LOW_LR)),) if state.lr > VERY_LOW_LR else ()


def _adam() -> Sequence[Remedy]:
    return (Remedy("Adam, not AdamW", c.SetOptimizer("adam")),)


def _tighter_clip(state: RunState) -> Sequence[Remedy]:
    bound = state.gradient_clip / 2 if state.gradient_clip < math.inf else _FIRST_CLIP
    return (Remedy(f"clip the gradient at {number(bound, 3)}", c.SetGradientClip(bound)),)


def _back(state: RunState) -> Sequence[Remedy]:
    """Return the rollback to the last good checkpoint, which has finite weights only."""
    if not state.good_checkpoint:
        return ()
    return (Remedy("roll back to last good", c.Rollback()),)


def _before(incident: Incident, state: RunState) -> Sequence[Remedy]:
    """Return the rollback to the newest checkpoint before the incident, as later ones may contain its cause."""
    earlier = [(step, name) for name in state.checkpoints if (step := step_of(name)) is not None]
    earlier = [(step, name) for step, name in earlier if 0 < step < incident.first_step]
    if not earlier:
        return ()
    step, name = max(earlier)
    return (Remedy(f"roll back to step {step}, before it began", c.Rollback(name)),)


def _disabled(incident: Incident, state: RunState) -> Sequence[Remedy]:
    name = blamed_component(incident, state.spec)
    return (Remedy(f"switch off {name}", c.DisableRefinement(name)),) if name else ()


def _weights(incident: Incident, state: RunState, factor: float) -> Sequence[Remedy]:
    """Return changed weights for the loss terms of the named places."""
    spec = state.spec
    places = (*_all_places(incident), blamed_component(incident, spec))
    terms = [spec.term_of(place) or place for place in places]
    return [
        Remedy(
            f"{'raise' if factor > 1 else 'lower'} the loss weight of {term}",
            c.SetLossWeight(term, state.loss_weights[term] * factor),
        )
        for term in dict.fromkeys(terms)
        if term in spec.term_names and state.loss_weights.get(term, 0.0) > 0
    ]


# --- names in an incident ---------------------------------------------------------------


def _all_places(incident: Incident) -> tuple[str, ...]:
    return tuple(place for tally in incident.tallies for place in tally.places)


def _names(incident: Incident, spec: TaskSpec) -> tuple[str, ...]:
    """Return the components among the modules that an incident names."""
    return tuple(place for place in dict.fromkeys(_all_places(incident)) if place in spec.component_names)


def _places(event: Event) -> tuple[str, ...]:
    """Return the components, terms, modules or metrics that an event names, the surest first."""
    match event:
        case e.FaultNamed(refinement=refinement, term=term, module=module):
            return refinement, term, module
        case e.AlertRaised(term=term, module=module):
            return term, module
        case e.StepSkipped(terms=terms, modules=modules):
            return *terms, *modules
        case e.SpikeDetected(metric=metric):
            return (metric.replace("/", "."),)
        case _:
            return ()


def _of_places(places: Iterable[str], spec: TaskSpec) -> str:
    """Return the component of the first place that is one, or that is one's loss term."""
    parts = [part for place in places for part in place.split(".")]
    named = (part if part in spec.component_names else spec.component_of(part) for part in parts)
    return next((name for name in named if name), "")

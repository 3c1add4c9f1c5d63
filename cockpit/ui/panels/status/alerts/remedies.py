"""Remedies of an incident: each kind ranks its own, and only those that would change something count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

from cockpit.session.incidents.incident import Incident
from cockpit.text.command_text import changes_nothing, title
from cockpit.text.event_info import NOT_FINITE, UNSTABLE
from cockpit.text.format import counted, rate
from cockpit.ui.panels.status.alerts.blame import named_components
from cockpit.ui.panels.status.alerts.remedy import (
    Remedy,
    accumulated,
    adam,
    back_before,
    back_to_good,
    calmer,
    halved_rate,
    lowest_rate,
    other_weights,
    switched_off,
    tighter_clip,
)
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome
from engine.protocol.events import Status
from engine.protocol.state import RunState


def remedies_of(incident: Incident, state: RunState, outcome_of: Callable[[Command], Outcome]) -> tuple[Remedy, ...]:
    """Return the remedies for `incident`, the likeliest to help first, without those that change nothing in `state`.

    `outcome_of` returns the outcome of a command on `state`.
    """
    found: dict[Command, Remedy] = {}
    for remedy in _ranked(incident, state):
        found.setdefault(remedy.command, remedy)
    return tuple(remedy for remedy in found.values() if _would_help(outcome_of(remedy.command)))


def _would_help(outcome: Outcome) -> bool:
    return outcome.status is not Status.REFUSED and not changes_nothing(outcome)


def _ranked(incident: Incident, state: RunState) -> Iterator[Remedy]:
    """Yield the undo of the likely cause, then the remedies for the gravest kind."""
    if incident.cause is not None and incident.cause.undo is not None:
        yield Remedy(f"take back the likely cause: {title(incident.cause.undo)}", incident.cause.undo)
    yield from _against(incident, state)


def _against(incident: Incident, state: RunState) -> Iterable[Remedy]:
    kinds = incident.kinds
    match next((kind for kind in _GRAVEST_FIRST if kind in kinds), ""):
        case "guardian is off":
            return chain([Remedy("guardian on", c.SetGuardian(True))], back_to_good(state), calmer(state))
        case "not finite" | "skipped steps" | "RolledBack":
            return _not_finite(incident, state)
        case "dead module" | "vanishing module":
            return _dead(incident, state)
        case "exploding module" | "gradient norm":
            return _exploding(incident, state)
        case "loss clamp":
            return chain(
                [halved_rate()], switched_off(incident, state), other_weights(incident, state, 0.5), lowest_rate(state)
            )
        case "validation":
            return chain([Remedy("validate again", c.Validate())], back_to_good(state), [halved_rate()])
        case "plateau":
            return _plateau(state)
        case _ if any(kind.startswith("spike") for kind in kinds):
            return chain([halved_rate(), *tighter_clip(state), accumulated(state)], back_to_good(state), adam())
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
        return chain(
            [Remedy(f"exclude {counted(len(samples), 'sample')}", c.ExcludeSamples(samples))], back_to_good(state)
        )
    if direction in ("weight", "moment"):
        return chain(back_to_good(state), [halved_rate()], switched_off(incident, state), lowest_rate(state))
    if faults and "mixed precision" in faults[-1].verdict:
        return chain([halved_rate(), *tighter_clip(state)], switched_off(incident, state), back_to_good(state))
    by_place = chain(switched_off(incident, state), other_weights(incident, state, 0.5))
    return chain(by_place, calmer(state), back_to_good(state), lowest_rate(state), adam())


def _dead(incident: Incident, state: RunState) -> Iterable[Remedy]:
    """Return the remedies for a dead module: older weights or its own loss, as a lower rate does not revive it."""
    revived = [
        *other_weights(incident, state, 2.0),
        *(
            Remedy(f"switch {name} off, and on again later", c.DisableRefinement(name))
            for name in named_components(incident, state.spec)
        ),
    ]
    return chain(back_before(incident, state), revived, [halved_rate()], lowest_rate(state), adam())


def _exploding(incident: Incident, state: RunState) -> Iterable[Remedy]:
    lighter = other_weights(incident, state, 0.5)
    gentler = [halved_rate(), *tighter_clip(state)]
    return chain(
        gentler,
        back_before(incident, state),
        switched_off(incident, state),
        lighter,
        [accumulated(state)],
        lowest_rate(state),
    )


def _plateau(state: RunState) -> Iterable[Remedy]:
    """Yield the remedies for a plateau: the configured rate, the next phase if its gate is ready, a lower rate."""
    configured = state.limits.lr_configured
    lowered = state.lr_scale < 1 or state.lr_pin is not None
    if lowered and state.lr < configured / 2:
        yield Remedy(f"learning rate back to {rate(configured)}", c.SetLr(configured))
        yield Remedy("double the learning rate", c.ScaleLr(2.0))
    yield Remedy("promote to the next phase", c.PromotePhase())
    yield halved_rate()
    yield Remedy("validate now", c.Validate())


def _of_files(incident: Incident) -> Iterable[Remedy]:
    """Yield the remedies for disk and data, which no command repairs: pause, and save a checkpoint."""
    if incident.kinds & {"CheckpointFailed", "CheckpointDamaged", "journal", "tensorboard"}:
        yield Remedy("write a checkpoint now, once there is room", c.SaveCheckpoint())
    if "RunFailed" not in incident.kinds:
        yield Remedy("pause until it is repaired", c.Pause())

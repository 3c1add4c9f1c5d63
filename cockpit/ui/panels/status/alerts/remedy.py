"""Single remedies: a label and a command."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from cockpit.session.checkpoints import step_of
from cockpit.session.incidents.incident import Incident
from cockpit.text.format import number
from cockpit.ui.panels.status.alerts.blame import blamed_component, named_places
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.record import record
from engine.protocol.state import RunState

VERY_LOW_LR: Final = 1e-6
"""The learning rate for a run that is still unstable."""


_FIRST_CLIP: Final = 1.0
"""The first bound on the gradient norm of a run without a clip."""


@record
class Remedy:
    """A remedy: its label and its command. The first of several is the recommended one."""

    label: str
    command: Command


def halved_rate() -> Remedy:
    """Return half the learning rate."""
    return Remedy("halve the learning rate", c.ScaleLr(0.5))


def calmer(state: RunState) -> Sequence[Remedy]:
    """Return half the learning rate, and larger updates."""
    return halved_rate(), accumulated(state)


def accumulated(state: RunState) -> Remedy:
    """Return twice the batches per update."""
    return Remedy("twice the batches per update", c.SetAccumulation(state.accumulation * 2))


def lowest_rate(state: RunState) -> Sequence[Remedy]:
    """Return the rate for a run that is still unstable, unless the run has it."""
    return (Remedy("LR to 1e-6", c.SetLr(VERY_LOW_LR)),) if state.lr > VERY_LOW_LR else ()


def adam() -> Sequence[Remedy]:
    """Return the optimizer without decoupled weight decay."""
    return (Remedy("Adam, not AdamW", c.SetOptimizer("adam")),)


def tighter_clip(state: RunState) -> Sequence[Remedy]:
    """Return half the bound on the gradient norm, or a first one."""
    bound = state.gradient_clip / 2 if state.gradient_clip < math.inf else _FIRST_CLIP
    return (Remedy(f"clip the gradient at {number(bound, 3)}", c.SetGradientClip(bound)),)


def back_to_good(state: RunState) -> Sequence[Remedy]:
    """Return the rollback to the last good checkpoint, which has finite weights only."""
    if not state.good_checkpoint:
        return ()
    return (Remedy("roll back to last good", c.Rollback()),)


def back_before(incident: Incident, state: RunState) -> Sequence[Remedy]:
    """Return the rollback to the newest checkpoint before the incident, as later ones may contain its cause."""
    earlier = [(step, name) for name in state.checkpoints if (step := step_of(name)) is not None]
    earlier = [(step, name) for step, name in earlier if 0 < step < incident.first_step]
    if not earlier:
        return ()
    step, name = max(earlier)
    return (Remedy(f"roll back to step {step}, before it began", c.Rollback(name)),)


def switched_off(incident: Incident, state: RunState) -> Sequence[Remedy]:
    """Return the switch of the component that an incident blames."""
    name = blamed_component(incident, state.spec)
    return (Remedy(f"switch off {name}", c.DisableRefinement(name)),) if name else ()


def other_weights(incident: Incident, state: RunState, factor: float) -> Sequence[Remedy]:
    """Return changed weights for the loss terms of the named places."""
    spec = state.spec
    places = (*named_places(incident), blamed_component(incident, spec))
    terms = [spec.term_of(place) or place for place in places]
    return [
        Remedy(
            f"{'raise' if factor > 1 else 'lower'} the loss weight of {term}",
            c.SetLossWeight(term, state.loss_weights[term] * factor),
        )
        for term in dict.fromkeys(terms)
        if term in spec.term_names and state.loss_weights.get(term, 0.0) > 0
    ]

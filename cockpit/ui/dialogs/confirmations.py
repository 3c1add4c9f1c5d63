"""The commands that need a confirmation before they are sent, and the text of it."""

from __future__ import annotations

from collections.abc import Sequence

from cockpit.session.checkpoints import way_back
from cockpit.session.session import Session
from cockpit.text.format import plural
from cockpit.ui.dialogs.confirm_dialog import ConfirmDialog
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.events import Status
from engine.protocol.state import RunState


def asked_first(session: Session, command: Command) -> ConfirmDialog | None:
    """Return the dialog that asks for confirmation of `command`; `None` if it needs none or would be refused."""
    state = session.state
    if state is None or session.decide(command).status is Status.REFUSED:
        return None
    match command:
        case c.DemotePhase():
            return ConfirmDialog(session, command, _demotion, heading=f"Demote from phase {state.phase}")
        case c.Rollback(checkpoint=name):
            return ConfirmDialog(session, command, lambda now: _rollback(now, name))
        case c.EnableRefinement(name=name) if name not in state.spec.components_of(state.phase):
            return ConfirmDialog(session, command, lambda now: _early(now, name))
        case c.DisableRefinement(name=name) if state.spec.phase_of(state.refinements - {name}) != state.phase:
            return ConfirmDialog(session, command, lambda now: _drop(now, name))
        case c.SetGuardian(enabled=False):
            return ConfirmDialog(session, command, _unguarded)
        case c.SetAutopilot(enabled=True):
            return ConfirmDialog(session, command, _autopilot, danger=False)
        case _:
            return None


def _demotion(state: RunState) -> Sequence[str]:
    return (
        "From the next step on, the components that are switched off cost nothing. Their parameters are kept. Switched "
        "on again, they start with fresh moments and are blended in.",
        "The learning rate and the loss weights stay as they are.",
    )


def _rollback(state: RunState, name: str) -> Sequence[str]:
    return (
        f"It goes {way_back(state, name or state.good_checkpoint)}. Weights, moments, random state and data position "
        "are restored from the checkpoint.",
        f"Steering is kept: learning rate, loss weights, clip, {plural(state.spec.component_noun)}.",
        "It cannot be undone: the steps after the checkpoint leave the curves, later checkpoints are set aside.",
    )


def _early(state: RunState, name: str) -> Sequence[str]:
    phase = next((number for number, phase in enumerate(state.spec.phases) if name in phase.adds), None)
    of = f"belongs to phase {phase}" if phase is not None else "is in no phase"
    return (
        f"{name} {of}, the run is in phase {state.phase}: it has passed no gate. It starts with fresh moments and is "
        "blended in.",
        "No checkpoint is written first and no probation follows. c writes a checkpoint, p shows the gate.",
    )


def _drop(state: RunState, name: str) -> Sequence[str]:
    after = state.spec.phase_of(state.refinements - {name})
    return (
        f"Without {name} the run is in phase {after} instead of {state.phase}.",
        "Its parameters are kept. Switched on again, it starts with fresh moments and is blended in.",
    )


def _unguarded(state: RunState) -> Sequence[str]:
    return (
        "A non-finite step is still skipped and diagnosed, but there is no auto-recovery: nothing lowers the learning "
        "rate or rolls the run back.",
    )


def _autopilot(state: RunState) -> Sequence[str]:
    if state.phase >= state.spec.last_phase:
        return ("No phase is left to promote to. It lowers the learning rate for the last part of the run.",)
    return (
        f"From phase {state.phase} on it promotes when the gate is ready, with a checkpoint before each promotion and "
        "a probation after it. It never forces a gate.",
    )

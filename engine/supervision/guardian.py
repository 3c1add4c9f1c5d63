"""Decide the guardian's reaction to a step. Pure functions.

The reactions are: nothing, exclude samples, roll back, disable, end a probation, or give up.

One non-finite step changes nothing: it is skipped. Several within a window indicate bad weights or a high learning
rate. The run then returns to the last good checkpoint and continues at a lower rate. After some rollbacks within a
stretch the refinement to blame is disabled; if none is to blame, the run stops.

Samples are excluded only if the fault follows them. Either their pixels are not finite, or the same batches failed
before and after the rollback while others did not. Otherwise the data are not to blame and stay.
"""

from __future__ import annotations

from dataclasses import replace

from engine.config.supervision_sections import RecoveryConfig
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.events import FaultNamed
from engine.protocol.state import Probation, RunState
from engine.protocol.task_spec import TaskSpec
from engine.protocol.words.command_syntax import program_name
from engine.supervision.guardian_types import NOTHING, BadStep, Decision, GuardianState, StepObservation


def consider(
    memory: GuardianState, observation: StepObservation, state: RunState, settings: RecoveryConfig
) -> tuple[GuardianState, Decision]:
    """Return the reaction to the step in `observation`, and the new memory. `state` is the one after the step."""
    memory = _remember(memory, observation, state.spec, settings)
    if _is_input(observation.fault):
        return _leave_out(memory, observation)
    if state.probation is not None:
        trouble = _breach(memory, observation, settings)
        if trouble:
            return _fresh(memory, observation), _back(trouble, state, state.probation)
        if observation.number >= state.probation.until_step:
            return memory, Decision(f"no fault in the probation of phase {state.phase}", probation=True)
    if _is_bad(observation) and (not observation.sound or len(memory.bad) >= settings.bad_steps):
        return _recover(memory, observation, state, settings)
    if observation.spiked and len(memory.spikes) >= settings.storm_spikes and settings.on_spike_storm == "lower_lr":
        return replace(memory, spikes=()), Decision(_storm(memory, settings), (c.ScaleLr(settings.lr_factor),))
    return memory, NOTHING


def _is_bad(observation: StepObservation) -> bool:
    return not (observation.finite and observation.sound) and not observation.excused


def _is_input(fault: FaultNamed | None) -> bool:
    return fault is not None and fault.direction == "input"


def _remember(
    memory: GuardianState, observation: StepObservation, spec: TaskSpec, settings: RecoveryConfig
) -> GuardianState:
    """Return the memory with this step, without steps outside the windows.

    Steps that were rolled back are removed too.
    """
    number = observation.number
    bad = tuple(step for step in memory.bad if number - settings.window_steps < step.number < number)
    spikes = tuple(at for at in memory.spikes if number - settings.storm_steps < at < number)
    if number > memory.farthest + settings.stretch_steps:
        memory = replace(memory, attempts=0, before=(), refinement="", place="")
    if observation.spiked:
        spikes = (*spikes, number)
    if not _is_bad(observation):
        return replace(memory, bad=bad, spikes=spikes)
    memory = replace(memory, bad=(*bad, BadStep(number, observation.sample_ids)), spikes=spikes)
    if observation.fault is not None:
        named = observation.fault.refinement if observation.fault.module else _blamed(observation, spec)
        return replace(memory, refinement=named, place=_place(observation.fault))
    return replace(
        memory, refinement=_blamed(observation, spec) or memory.refinement, place=memory.place or observation.reason
    )


def _fresh(memory: GuardianState, observation: StepObservation) -> GuardianState:
    """Return the memory after an action: its causes are not counted again, but kept for comparison."""
    return replace(
        memory, bad=(), spikes=(), before=memory.bad or memory.before, farthest=max(memory.farthest, observation.number)
    )


# --- responsibility -------------------------------------------------------------------------


def _blamed(observation: StepObservation, spec: TaskSpec) -> str:
    """Return the only refinement with a non-finite loss or, with finite losses, gradient; an empty string for none."""
    if observation.terms:
        names = {spec.component_of(term) for term in observation.terms}
    else:
        names = {module if module in spec.component_names else "" for module in observation.modules}
    return names.pop() if len(names) == 1 else ""


def _place(fault: FaultNamed) -> str:
    """Return the origin of a fault: operation, module, direction and loss term, as far as known."""
    where = f"{fault.operation} in {fault.module} ({fault.direction})" if fault.module else fault.verdict
    return f"{where}, loss term {fault.term}" if fault.term else where


def _followed(memory: GuardianState) -> tuple[str, ...]:
    """Return samples of batches that were bad before and after the last rollback, while others were not.

    If every step is bad, the batches are not the cause.
    """
    first, last = memory.bad[0].number, memory.bad[-1].number
    if last - first + 1 == len(memory.bad) > 1:
        return ()
    known = {step.sample_ids for step in memory.before}
    return tuple(dict.fromkeys(name for step in memory.bad if step.sample_ids in known for name in step.sample_ids))


# --- reactions ------------------------------------------------------------------------------


def _leave_out(memory: GuardianState, observation: StepObservation) -> tuple[GuardianState, Decision]:
    """Exclude samples with non-finite pixels. This removes the cause, so the step is not counted."""
    assert observation.fault is not None
    bad = tuple(step for step in memory.bad if step.number != observation.number)
    reason = f"their pixels are not finite (step {observation.number})"
    return replace(memory, bad=bad), Decision(reason, (c.ExcludeSamples(observation.fault.sample_ids),))


def _recover(
    memory: GuardianState, observation: StepObservation, state: RunState, settings: RecoveryConfig
) -> tuple[GuardianState, Decision]:
    """Return to the last good checkpoint at a lower learning rate.

    After too many attempts, disable the refinement to blame, or stop. Without a good checkpoint the rollback is
    refused, which the journal records, and only the rate is lowered. The attempt counts in both cases. The checkpoint's
    existence is not checked here, because it may still be on its way to the disk.
    """
    back: tuple[Command, ...] = (c.Rollback(),)
    reason = _count(memory, observation, settings)
    after = _fresh(memory, observation)
    if memory.attempts < settings.max_rollbacks:
        followed = _followed(memory)
        exclude = (c.ExcludeSamples(followed),) if followed else ()
        reason = f"{reason}; the same batches as before the last rollback" if followed else reason
        return replace(after, attempts=after.attempts + 1), Decision(
            reason, (*back, c.ScaleLr(settings.lr_factor), *exclude)
        )
    tried = f"{reason}, after {memory.attempts} attempts to recover"
    if memory.refinement in state.refinements:
        guilty = f"{tried}; {memory.refinement} is to blame"
        return replace(after, attempts=0, before=()), Decision(guilty, (*back, c.DisableRefinement(memory.refinement)))
    return after, Decision(tried, give_up=_diagnosis(tried, state))


def _count(memory: GuardianState, observation: StepObservation, settings: RecoveryConfig) -> str:
    if not observation.sound:
        return f"weights or moments are not finite at step {observation.number}: {memory.place}"
    number, window = len(memory.bad), settings.window_steps
    steps = "step was" if number == 1 else "steps were"
    return f"{number} {steps} not finite within {window}, the last at step {observation.number}: {memory.place}"


def _diagnosis(tried: str, state: RunState) -> str:
    return (
        f"{tried}; no {state.spec.component_noun} that is on is to blame. Resume from "
        f"{state.good_checkpoint or 'an earlier run'} with a lower learning rate or a larger batch; "
        f"`{program_name()} diagnose` replays the fault"
    )


# --- probation ------------------------------------------------------------------------------


def _breach(memory: GuardianState, observation: StepObservation, settings: RecoveryConfig) -> str:
    """Return why a probation ends, or an empty string: a non-finite step, a storm of spikes, or large norms."""
    if _is_bad(observation):
        return f"step {observation.number} was not finite: {memory.place}"
    if observation.spiked and len(memory.spikes) >= settings.storm_spikes:
        return _storm(memory, settings)
    return f"gradient norms stay over their bound at step {observation.number}" if observation.steep else ""


def _storm(memory: GuardianState, settings: RecoveryConfig) -> str:
    return f"{len(memory.spikes)} spikes within {settings.storm_steps} steps, the last at step {memory.spikes[-1]}"


def _back(trouble: str, state: RunState, probation: Probation) -> Decision:
    reason = f"phase {state.phase} failed its probation: {trouble}"
    commands = (c.Rollback(probation.checkpoint), *way_back(state, probation))
    return Decision(reason, commands, probation=False)


def way_back(state: RunState, probation: Probation) -> tuple[Command, ...]:
    """Return the commands that leave the phase on probation.

    It is a demotion, or single switches if a demotion would not undo the promotion.
    """
    enabled = [name for name in probation.enabled if name in state.refinements]
    steps_down = [name for name in state.spec.phases[state.phase].adds if name in state.refinements]
    if sorted(enabled) == sorted(steps_down):
        return (c.DemotePhase(),)
    return tuple(c.DisableRefinement(name) for name in enabled)

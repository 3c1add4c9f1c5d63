"""What the guardian does about a step: nothing, exclude samples, roll back, disable, end a probation, or give up. Pure.

A step that is not finite changes nothing, so one of them costs nothing: it is skipped. Several within a window mean
that the weights or the learning rate lead there. Then the run goes back to the last good checkpoint and on at a lower
rate; after some rollbacks within a stretch the refinement to blame goes off, and where none is to blame the run stops.
Samples are excluded only where the fault followed them: their pixels are not finite, or the very same batches were bad
before the rollback and after it, while others in between were not. Otherwise the data is not to blame and stays.
"""

from __future__ import annotations

from dataclasses import replace

from engine.config.tree import RecoveryConfig
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.events import FaultNamed
from engine.protocol.state import Probation, RunState
from engine.supervision.guardian_types import NOTHING, BadStep, GuardianMemory, Intent, Sight
from engine.tasks.person.spec import PHASES, REFINEMENT_OF_TERM, REFINEMENTS


def consider(
    memory: GuardianMemory, sight: Sight, state: RunState, settings: RecoveryConfig
) -> tuple[GuardianMemory, Intent]:
    """What to do after the step that `sight` shows, and what to remember. `state` is the one at its end."""
    memory = _remember(memory, sight, settings)
    if _is_input(sight.fault):
        return _leave_out(memory, sight)
    if state.probation is not None:
        trouble = _breach(memory, sight, settings)
        if trouble:
            return _fresh(memory, sight), _back(trouble, state, state.probation)
        if sight.number >= state.probation.until_step:
            return memory, Intent(f"no fault in the probation of phase {state.phase}", probation=True)
    if _is_bad(sight) and (not sight.sound or len(memory.bad) >= settings.bad_steps):
        return _recover(memory, sight, state, settings)
    if sight.spiked and len(memory.spikes) >= settings.storm_spikes and settings.on_spike_storm == "lower_lr":
        return replace(memory, spikes=()), Intent(_storm(memory, settings), (c.ScaleLr(settings.lr_factor),))
    return memory, NOTHING


def _is_bad(sight: Sight) -> bool:
    return not (sight.finite and sight.sound) and not sight.excused


def _is_input(fault: FaultNamed | None) -> bool:
    return fault is not None and fault.direction == "input"


def _remember(memory: GuardianMemory, sight: Sight, settings: RecoveryConfig) -> GuardianMemory:
    """The memory with this step in it and without what lies outside the windows, steps that were rolled back too."""
    number = sight.number
    bad = tuple(step for step in memory.bad if number - settings.window_steps < step.number < number)
    spikes = tuple(at for at in memory.spikes if number - settings.storm_steps < at < number)
    if number > memory.farthest + settings.stretch_steps:
        memory = replace(memory, attempts=0, before=(), refinement="", place="")
    if sight.spiked:
        spikes = (*spikes, number)
    if not _is_bad(sight):
        return replace(memory, bad=bad, spikes=spikes)
    memory = replace(memory, bad=(*bad, BadStep(number, sight.sample_ids)), spikes=spikes)
    if sight.fault is not None:
        named = sight.fault.refinement if sight.fault.module else _blamed(sight)
        return replace(memory, refinement=named, place=_place(sight.fault))
    return replace(memory, refinement=_blamed(sight) or memory.refinement, place=memory.place or sight.reason)


def _fresh(memory: GuardianMemory, sight: Sight) -> GuardianMemory:
    """After it acted: what it acted upon is not counted again, and kept to be compared with what comes."""
    return replace(
        memory, bad=(), spikes=(), before=memory.bad or memory.before, farthest=max(memory.farthest, sight.number)
    )


# --- whose fault ----------------------------------------------------------------------------


def _blamed(sight: Sight) -> str:
    """The only refinement whose loss or, with finite losses, whose gradient was not finite; '' for none."""
    if sight.terms:
        names = {REFINEMENT_OF_TERM.get(term, "") for term in sight.terms}
    else:
        names = {module if module in REFINEMENTS else "" for module in sight.modules}
    return names.pop() if len(names) == 1 else ""


def _place(fault: FaultNamed) -> str:
    """Where a fault began: operation, module, direction and loss term, as far as they are known."""
    where = f"{fault.operation} in {fault.module} ({fault.direction})" if fault.module else fault.verdict
    return f"{where}, loss term {fault.term}" if fault.term else where


def _followed(memory: GuardianMemory) -> tuple[str, ...]:
    """The samples of batches that were bad before the last rollback and are again, while others were not.

    Where every step is bad it is not the batches' doing.
    """
    first, last = memory.bad[0].number, memory.bad[-1].number
    if last - first + 1 == len(memory.bad) > 1:
        return ()
    known = {step.sample_ids for step in memory.before}
    return tuple(dict.fromkeys(name for step in memory.bad if step.sample_ids in known for name in step.sample_ids))


# --- what is done ---------------------------------------------------------------------------


def _leave_out(memory: GuardianMemory, sight: Sight) -> tuple[GuardianMemory, Intent]:
    """Samples whose pixels are not finite: without them the cause is gone, and the step need not be counted."""
    assert sight.fault is not None
    bad = tuple(step for step in memory.bad if step.number != sight.number)
    reason = f"their pixels are not finite (step {sight.number})"
    return replace(memory, bad=bad), Intent(reason, (c.ExcludeSamples(sight.fault.sample_ids),))


def _recover(
    memory: GuardianMemory, sight: Sight, state: RunState, settings: RecoveryConfig
) -> tuple[GuardianMemory, Intent]:
    """Back to the last good checkpoint and on at a lower rate; after too many times disable what is to blame, or stop.

    Without a good checkpoint the rollback is refused, which the journal says, and only the rate is lowered; the attempt
    counts all the same. Whether there is one is not asked here: it may still be on its way to the disk.
    """
    back: tuple[Command, ...] = (c.Rollback(),)
    reason = _count(memory, sight, settings)
    after = _fresh(memory, sight)
    if memory.attempts < settings.max_rollbacks:
        followed = _followed(memory)
        exclude = (c.ExcludeSamples(followed),) if followed else ()
        reason = f"{reason}; the same batches as before the last rollback" if followed else reason
        return replace(after, attempts=after.attempts + 1), Intent(
            reason, (*back, c.ScaleLr(settings.lr_factor), *exclude)
        )
    tried = f"{reason}, after {memory.attempts} attempts to mend it"
    if memory.refinement in state.refinements:
        guilty = f"{tried}; {memory.refinement} is to blame"
        return replace(after, attempts=0, before=()), Intent(guilty, (*back, c.DisableRefinement(memory.refinement)))
    return after, Intent(tried, give_up=_diagnosis(tried, state))


def _count(memory: GuardianMemory, sight: Sight, settings: RecoveryConfig) -> str:
    if not sight.sound:
        return f"weights or moments are not finite at step {sight.number}: {memory.place}"
    number, window = len(memory.bad), settings.window_steps
    steps = "step was" if number == 1 else "steps were"
    return f"{number} {steps} not finite within {window}, the last at step {sight.number}: {memory.place}"


def _diagnosis(tried: str, state: RunState) -> str:
    return (
        f"{tried}; no refinement that is on is to blame. Resume from {state.good_checkpoint or 'an earlier run'} with "
        "a lower learning rate or a larger batch; `main.py diagnose` replays the fault"
    )


# --- probation ------------------------------------------------------------------------------


def _breach(memory: GuardianMemory, sight: Sight, settings: RecoveryConfig) -> str:
    """What ends a probation, in words: a step that was not finite, a storm of spikes, norms that stay too large."""
    if _is_bad(sight):
        return f"step {sight.number} was not finite: {memory.place}"
    if sight.spiked and len(memory.spikes) >= settings.storm_spikes:
        return _storm(memory, settings)
    return f"gradient norms stay over their bound at step {sight.number}" if sight.steep else ""


def _storm(memory: GuardianMemory, settings: RecoveryConfig) -> str:
    return f"{len(memory.spikes)} spikes within {settings.storm_steps} steps, the last at step {memory.spikes[-1]}"


def _back(trouble: str, state: RunState, probation: Probation) -> Intent:
    reason = f"phase {state.phase} failed its probation: {trouble}"
    commands = (c.Rollback(probation.checkpoint), *way_back(state, probation))
    return Intent(reason, commands, probation=False)


def way_back(state: RunState, probation: Probation) -> tuple[Command, ...]:
    """How to leave the phase on probation: a demotion, or, where that would not undo the promotion, one by one."""
    enabled = [name for name in probation.enabled if name in state.refinements]
    steps_down = [name for name in PHASES[state.phase].adds if name in state.refinements]
    if sorted(enabled) == sorted(steps_down):
        return (c.DemotePhase(),)
    return tuple(c.DisableRefinement(name) for name in enabled)

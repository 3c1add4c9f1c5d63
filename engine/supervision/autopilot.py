"""The autopilot: decide at the gate without a user, with a reason. Pure functions.

It promotes phase by phase when every check passes. After a failed probation it waits, twice as long each time, and
finally gives up that phase. The last part of the run is trained at 1e-6 with decay, in any phase.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from engine.config.supervision_sections import AutopilotConfig
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.record import record
from engine.protocol.state import RunState

PROMOTE, WAIT, VALIDATE, GIVE_UP, TUNE, DONE = "promotes", "waits", "validates", "gives up", "tunes", "is done"
SAID_EVERY: Final = 100
"""Minimum steps between two reports of the same decision with another reason."""


@record
class AutopilotState:
    """Memory of the autopilot. A checkpoint contains it; a rollback keeps it.

    `failures` has one entry per failed probation, the phase; until step `retry_at` it waits. `tuning` is whether the
    final tuning has begun. `said` and `said_at` are the last report and its step.
    """

    failures: tuple[int, ...] = ()
    retry_at: int = 0
    tuning: bool = False
    said: str = ""
    said_at: int = 0


@record
class AutopilotDecision:
    """An action or a wait, with its reason. `subject` identifies the reason, independent of changing values."""

    what: str
    why: str
    subject: str
    command: Command | None = None


def choose(
    memory: AutopilotState, state: RunState, settings: AutopilotConfig, *, remaining: float
) -> AutopilotDecision:
    """Return the decision at this step; `remaining` is the fraction (0..1) of the run that is left."""
    if memory.tuning:
        return AutopilotDecision(
            DONE, f"the rate is at {state.lr:.3g} and only falls for the rest of the run", "tuning"
        )
    if state.probation is not None:
        until = state.probation.until_step
        return AutopilotDecision(
            WAIT, f"phase {state.phase} is on probation until step {until}", f"probation {state.phase}"
        )
    if settings.final_share and remaining <= settings.final_share:
        return _tune(state, settings)
    if reason := state.spec.why_no_next(state.phase):
        return AutopilotDecision(WAIT, f"{reason}; {_to_come(settings)}", "last phase")
    return _next_phase(memory, state, settings)


def _tune(state: RunState, settings: AutopilotConfig) -> AutopilotDecision:
    rate, where = (
        settings.final_learning_rate,
        f"the last {100 * settings.final_share:.0f} % of the run, in phase {state.phase}",
    )
    if state.lr <= rate:
        return AutopilotDecision(TUNE, f"{where}: the rate is {state.lr:.3g} already", "tuning")
    return AutopilotDecision(TUNE, f"{where}: the learning rate becomes {rate:g}", "tuning", c.SetLr(rate))


def _next_phase(memory: AutopilotState, state: RunState, settings: AutopilotConfig) -> AutopilotDecision:
    phase = state.phase + 1
    failed = memory.failures.count(phase)
    if failed >= settings.max_failures:
        why = f"phase {phase} failed its probation {_times(failed)}: the run stays in phase {state.phase}"
        return AutopilotDecision(GIVE_UP, f"{why}; {_to_come(settings)}", f"phase {phase}")
    if failed and state.step < memory.retry_at:
        why = f"phase {phase} failed its probation {_times(failed)}, the next try is at step {memory.retry_at}"
        return AutopilotDecision(WAIT, why, f"retry {phase} {failed}")
    if clash := state.spec.why_not_enter(phase, state.refinements):
        return AutopilotDecision(WAIT, clash, f"clash {phase}")
    red = [check for check in state.gate if not check.passed]
    if red and all(check.needs_validation and not check.measured for check in red):
        return AutopilotDecision(
            VALIDATE, f"for phase {phase}: it has no validation yet", f"validation {phase}", c.Validate()
        )
    if red or not state.gate:
        why = "; ".join(f"{check.name} is {check.value}, must be {check.bound}" for check in red) or "nothing measured"
        return AutopilotDecision(
            WAIT, f"for phase {phase}: {why}", f"phase {phase}: {', '.join(check.name for check in red)}"
        )
    green = "; ".join(f"{check.name} is {check.value}" for check in state.gate)
    return AutopilotDecision(PROMOTE, f"to phase {phase}: {green}", f"phase {phase} {failed}", c.PromotePhase())


def _to_come(settings: AutopilotConfig) -> str:
    if not settings.final_share:
        return "it is trained to the end of the run"
    share = f"{100 * settings.final_share:.0f} %"
    return f"the last {share} of the run is trained at {settings.final_learning_rate:g} and less"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def take_note(memory: AutopilotState, decision: AutopilotDecision, step: int) -> tuple[AutopilotState, bool]:
    """Return the memory after `decision`, and whether to report it. Repetitions are not reported."""
    if decision.what == TUNE:
        memory = replace(memory, tuning=True)
    said = f"{decision.what} {decision.subject}"
    if said == memory.said:
        return memory, False
    same_kind = memory.said.startswith(f"{decision.what} ")
    if same_kind and 0 <= step - memory.said_at < SAID_EVERY:
        return memory, False
    return replace(memory, said=said, said_at=step), True


def note_failure(memory: AutopilotState, phase: int, started_at: int, settings: AutopilotConfig) -> AutopilotState:
    """Return the memory after `phase`, entered at step `started_at`, failed its probation."""
    count = memory.failures.count(phase) + 1
    wait = settings.retry_steps * 2 ** (count - 1)
    return replace(memory, failures=(*memory.failures, phase), retry_at=started_at + wait)

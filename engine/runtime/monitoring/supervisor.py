"""Run the guardian and autopilot policies after each step and queue the commands they issue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from engine.config.tree import RunConfig
from engine.protocol.commands import AUTOPILOT, GUARDIAN, Command, Request
from engine.protocol.events import AlertRaised, AutopilotDecided, ProbationEnded
from engine.protocol.state import RunState
from engine.protocol.wire import op_of
from engine.runtime.commands.command_processor import CommandProcessor
from engine.runtime.recorder import RunRecorder
from engine.supervision.alerts.rules import RuleFired
from engine.supervision.autopilot import choose, note_failure, take_note
from engine.supervision.guardian import consider
from engine.supervision.guardian_types import Decision, StepObservation
from engine.supervision.run_memory import RunMemory
from engine.training.checkpoint.live_state import LiveState


class TrainingDivergedError(RuntimeError):
    """Raised if further training is pointless. The message names the cause as far as it is known."""


class Supervisor:
    """Run both policies if they are on. A guardian that is off only warns.

    A reproduction repeats recorded actions and does not use the policies: `CommandProcessor.is_driven`.
    """

    def __init__(
        self,
        config: RunConfig,
        train_state: LiveState,
        recorder: RunRecorder,
        memory: RunMemory,
        commands: CommandProcessor,
    ):
        self._config = config
        self._train_state = train_state
        self._recorder = recorder
        self._memory = memory
        self._commands = commands

    def on_step(self, observation: StepObservation) -> None:
        """Pass a step to the guardian. Raises TrainingDivergedError if it gives up.

        Steps launched before a pending command took effect are skipped: they do not reflect it.
        """
        if self._commands.is_driven or self._commands.is_proposed:
            return
        state, former = self._recorder.state, self._memory.guardian
        self._memory.guardian, intent = consider(former, observation, state, self._config.guard.recovery)
        if intent.probation is not None:
            self._end_probation(intent, state, passed=intent.probation)
        if not state.guardian:
            # Actions that were only suggested must not count once the guardian is on.
            self._memory.guardian = replace(self._memory.guardian, attempts=former.attempts, farthest=former.farthest)
            self._warn(intent, observation.number)
        elif intent.give_up:
            raise TrainingDivergedError(f"the guardian gives up: {intent.give_up}")
        else:
            self._propose(intent.commands, GUARDIAN, intent.reason)

    def _end_probation(self, intent: Decision, state: RunState, *, passed: bool) -> None:
        self._recorder.record_event(ProbationEnded(passed), actor=GUARDIAN, reason=intent.reason)
        if not passed:
            settings = self._config.autopilot
            memory = note_failure(self._memory.autopilot, state.phase, state.phase_started_at, settings)
            self._memory.autopilot = memory

    def _warn(self, intent: Decision, number: int) -> None:
        """Raise an alert with the suggested action, but not at every step of a diverging run."""
        last = self._memory.warned_at
        is_news = last is None or not 0 <= number - last < self._config.guard.recovery.window_steps
        if is_news and (intent.commands or intent.give_up):
            self._memory.warned_at = number
            would = ", ".join(op_of(command) for command in intent.commands) or "stop the run"
            message = f"{intent.reason}; the guardian is off, otherwise it would {would}"
            self._recorder.record_event(
                AlertRaised("guardian is off", message, "switch it on with `guardian on`, or roll back")
            )

    def on_rules(self, fired: Iterable[RuleFired]) -> None:
        """Raise the alerts of rules, and propose their commands after those of the guardian."""
        for rule in fired:
            self._recorder.record_event(rule.alert)
            if rule.request is not None and not self._commands.is_driven:
                self._commands.propose([rule.request])

    def on_gate(self) -> None:
        """Pass the checked gate to the autopilot, unless a command is pending."""
        state = self._recorder.state
        if not state.autopilot or self._commands.is_driven or self._commands.is_proposed:
            return
        decision = choose(self._memory.autopilot, state, self._config.autopilot, remaining=self._remaining(state))
        self._memory.autopilot, is_news = take_note(self._memory.autopilot, decision, state.step)
        if is_news:
            self._recorder.record_event(AutopilotDecided(decision.what, decision.why), actor=AUTOPILOT)
        if decision.command is not None:
            self._propose((decision.command,), AUTOPILOT, decision.why)

    def _remaining(self, state: RunState) -> float:
        """Return the fraction (0..1) of the run that is left, by epochs or by steps, whichever ends it first."""
        training = self._config.training
        by_epochs = 1 - self._train_state.progress / training.epochs
        by_steps = 1 - state.step / training.max_steps if training.max_steps else 1.0
        return max(0.0, min(by_epochs, by_steps))

    def _propose(self, commands: Iterable[Command], actor: str, reason: str) -> None:
        self._commands.propose(Request(0, actor, command, reason) for command in commands)

"""Alert rules of the configuration: conditions checked at each step, which raise alerts and may send a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from engine.config.supervision_sections import AlertRule
from engine.errors import UserError
from engine.protocol.commands import RULE, Command, Request
from engine.protocol.conditions.condition import Condition
from engine.protocol.conditions.moment import RunMoment
from engine.protocol.conditions.syntax import check_metrics, metrics_of, parse_condition
from engine.protocol.events import AlertRaised, ValidationCompleted
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec
from engine.protocol.words.command_syntax import parse_command

_TOTAL: Final = "loss/total"
_OF_TASK: Final = ("loss/", "loss_raw/", "val/")
"""The beginnings of metrics whose names a task's spec determines."""


@record
class RuleCount:
    """The steps in a row for which a rule's condition holds, and those since its last alert, `None` before any."""

    held: int = 0
    since: int | None = None


@record
class RulesMemory:
    """Memory of the rules, by name, and the metrics of the newest validation. A checkpoint contains it."""

    counts: Mapping[str, RuleCount] = field(default_factory=lambda: MappingProxyType({}))
    validation: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


@record
class RuleFired:
    """The alert of a rule, and the request of its command; `None` if it has no command."""

    alert: AlertRaised
    request: Request | None = None


@dataclass(slots=True)
class _Compiled:
    rule: AlertRule
    condition: Condition
    command: Command | None
    held: int = 0
    since: int | None = None

    def is_due(self, moment: RunMoment) -> bool:
        """Count this step, and return whether the rule fires at it."""
        rule = self.rule
        self.held = self.held + 1 if self.condition.holds(moment) else 0
        self.since = None if self.since is None else self.since + 1
        if self.held < rule.for_steps:
            return False
        is_rested = self.since is None or (not rule.once and self.since >= rule.again_after_steps)
        self.since = 0 if is_rested else self.since
        return is_rested


class AlertRules:
    """The compiled rules of a run: microseconds for each at every step.

    Steps are counted as they are trained, so that a rollback by a rule's command is not repeated sooner.
    """

    def __init__(self, rules: Sequence[AlertRule]):
        self._rules = [_Compiled(rule, parse_condition(rule.when), _command_of(rule)) for rule in rules]
        self._validation: dict[str, float] = {}
        self._last: int | None = None

    def observe(self, number: int, metrics: Mapping[str, float], state: RunState) -> list[RuleFired]:
        """Return the rules that fire at step `number` (from 1) with the `metrics` of its row.

        `state` is the one after that step. A number not after the last one is a rollback: conditions start over.
        """
        if not self._rules:
            return []
        fired = [] if self._last is not None else self._misnamed(metrics)
        if self._last is not None and number <= self._last:
            for compiled in self._rules:
                compiled.held = 0
        self._last = number
        moment = RunMoment(state, {**self._validation, **metrics}, number)
        return fired + [_fire(compiled, moment) for compiled in self._rules if compiled.is_due(moment)]

    def note_validation(self, summary: ValidationCompleted) -> None:
        """Keep the metrics of a validation for the next steps."""
        named = {f"val/{name}": value for name, value in summary.metrics.items()}
        self._validation = named if summary.loss is None else {"val/loss": summary.loss, **named}

    def memory(self) -> RulesMemory:
        """Return the memory for a checkpoint."""
        counts = {compiled.rule.name: RuleCount(compiled.held, compiled.since) for compiled in self._rules}
        return RulesMemory(counts, dict(self._validation))

    def recall(self, memory: RulesMemory) -> None:
        """Restore the result of `memory` in another process, as far as the rules are the same."""
        self._validation = dict(memory.validation)
        for compiled in self._rules:
            count = memory.counts.get(compiled.rule.name, RuleCount())
            compiled.held, compiled.since = count.held, count.since

    def _misnamed(self, metrics: Mapping[str, float]) -> list[RuleFired]:
        """Return an alert for each rule with a metric that the first step did not record; it may come later."""
        fired: list[RuleFired] = []
        for compiled in self._rules:
            try:
                to_come = [name for name in compiled.condition.metrics() if name.startswith(_OF_TASK)]
                check_metrics(compiled.condition, (*metrics, *to_come))
            except UserError as error:
                fired.append(RuleFired(AlertRaised(_kind(compiled.rule), f"the first step did not record it: {error}")))
        return fired


def check_rules(rules: Sequence[AlertRule], spec: TaskSpec) -> None:
    """Raise UserError for a rule with a loss term or a validation metric that the task does not have."""
    known = (*metrics_of(spec), _TOTAL)
    for rule in rules:
        condition = parse_condition(rule.when)
        other = [name for name in condition.metrics() if not name.startswith(_OF_TASK)]
        try:
            check_metrics(condition, (*known, *other))
        except UserError as error:
            raise UserError(f"the alert rule {rule.name!r}: {error}") from None


def _command_of(rule: AlertRule) -> Command | None:
    return parse_command(rule.command.split()) if rule.command else None


def _kind(rule: AlertRule) -> str:
    return f"rule {rule.name}"


def _fire(compiled: _Compiled, moment: RunMoment) -> RuleFired:
    rule, held = compiled.rule, compiled.condition.held(moment).text
    lasting = f" for {compiled.held} steps" if rule.for_steps > 1 else ""
    remedy = f"the rule sends `{rule.command}`" if rule.command else ""
    alert = AlertRaised(_kind(rule), f"{held}{lasting}", remedy, at_step=moment.step or 0, severity=rule.severity)
    if compiled.command is None:
        return RuleFired(alert)
    return RuleFired(alert, Request(0, RULE, compiled.command, f"{_kind(rule)}: {held}{lasting}"))

"""The journal of a training that is not a Task: its terms come with its first step, it has knobs and can do less."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

from engine.journal.inbox import Inbox
from engine.journal.task_meta import TASK
from engine.journal.writer import JournalWriter
from engine.protocol import events as e
from engine.protocol.commands import Request
from engine.protocol.decide import decide
from engine.protocol.events import Activity
from engine.protocol.state import RunState
from engine.protocol.task_spec import Metric, TaskSpec, Term, Unsupported
from engine.protocol.wire import refusal_of, spec_to_json
from engine.runtime.recorder import RunRecorder

UNSUPPORTED: Final = {
    "promote": "an own loop has no phases",
    "demote": "an own loop has no phases",
    "enable": "an own loop has no components",
    "disable": "an own loop has no components",
    "set-batch-size": "your loader makes the batches; use set-accumulation",
    "set-optimizer": "your code makes the optimizer",
    "validate": "your loop validates; call cockpit.validated",
    "rollback": "this loader cannot be rewound; use StatefulDataLoader",
    "set-guardian": "an own loop has no guardian",
    "set-autopilot": "an own loop has no autopilot; use set-lr",
    "histogram": "your program runs the step; write a Task",
}
UNKNOWN: Final = TaskSpec(
    name="own loop", unsupported=tuple(Unsupported(op, reason) for op, reason in UNSUPPORTED.items())
)
"""The spec before the first step: no loss term is known."""

DESCRIBED: Final = replace(
    UNKNOWN,
    terms=(Term("ce"), Term("kl", weight=0.5)),
    metrics=(Metric("accuracy", low=0, high=1),),
    score="accuracy",
)


class ForeignRun:
    """The writer of such a journal, alive until `close`. Everything is on disk when a call returns."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.journal = JournalWriter(directory)
        self.journal.start()
        self.journal.set_meta(TASK, spec_to_json(UNKNOWN))
        state = RunState(directory.name, spec=UNKNOWN, guardian=False, device="cpu", lr=1e-3, total_steps=400)
        self.recorder = RunRecorder(state, self.journal)
        self.recorder.update(doing="")
        self.recorder.record_event(e.RunStarted("cpu", 1200, 640, 64, 400, learning_rate=1e-3))
        self.recorder.set_activity(Activity.RUNNING)
        self.recorder.record_event(e.KnobDeclared("temperature", 0.7, 0.1, 2.0))
        self.recorder.record_event(e.KnobDeclared("mixup", True))
        self.recorder.record_event(e.KnobDeclared("schedule", "soft", choices=("soft", "hard")))
        self._inbox: Inbox | None = None
        self.flush()

    @property
    def state(self) -> RunState:
        """The state as of the last event."""
        return self.recorder.state

    def train(self, last: int) -> None:
        """Record the steps up to `last`; the first one names the loss terms and the metrics."""
        if not self.state.spec.terms:
            self.recorder.record_event(e.TaskDescribed(DESCRIBED))
        for step in range(self.state.step + 1, last + 1):
            ce, kl = 2.0 * math.exp(-step / 60) + 0.2, 0.4 * math.exp(-step / 90)
            total = ce + 0.5 * kl
            values = {"loss/total": total, "loss/ce": ce, "loss/kl": 0.5 * kl, "loss_raw/ce": ce, "loss_raw/kl": kl}
            values |= {"grad_norm/total": 0.5, "lr": self.state.lr, "samples_per_second": 900.0}
            self.recorder.update(step=step, loss=total, grad_norm=0.5, samples_per_second=900.0)
            self.recorder.journal.record_step(step, step / 100, tuple(values), tuple(values.values()))
        self.flush()

    def validate(self, accuracy: float) -> None:
        """Record a validation by the loop itself."""
        self.journal.record_validation(
            self.state.step, self.state.step / 100, ("val/accuracy", "val/loss"), (accuracy, 0.8)
        )
        self.recorder.record_event(e.ValidationCompleted(0.8, {"accuracy": accuracy}, 0.4))
        self.flush()

    def answer_commands(self) -> list[Request]:
        """Process the commands in the inbox, each answered by its event or its refusal."""
        if self._inbox is None:
            self._inbox = Inbox(self.directory)
        requests = self._inbox.poll()
        for request in requests:
            outcome = decide(self.state, request.command)
            event = outcome.event or refusal_of(request.command)
            self.recorder.record_outcome(outcome, event, actor=request.actor, command_id=request.id)
        self.flush()
        return requests

    def flush(self) -> None:
        """Wait until everything is on disk."""
        assert self.journal.flush()

    def close(self) -> None:
        """The process that trained has ended."""
        if self._inbox is not None:
            self._inbox.close()
        self.recorder.close()

"""The other ranks: they repeat rank 0's events, and train and validate their part. They own no file of the run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.config.tree import RunConfig
from engine.forensics.capture import Evidence, evidence_of
from engine.protocol.events import AlertRaised, SampleRejected
from engine.protocol.evolve import evolve
from engine.protocol.state import RunState, with_measured
from engine.protocol.wire import event_from_text, state_from_text
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.outages.memory import MEMORY_ERRORS, is_out_of_memory
from engine.runtime.outages.validation_parts import Halving, NoSampleFitsError, PartedMeasure, alert_of
from engine.runtime.ranks import leader as orders
from engine.runtime.ranks.exchange import NEWS, signalled
from engine.runtime.ranks.group import Message, RankGroup
from engine.runtime.ranks.notes import SIGNAL_KEY, News, evidence_key, pack_evidence
from engine.runtime.ranks.rank_state import RankState, seed_step, unpack
from engine.runtime.ranks.shared_halver import Shortage, attempt_step, shortage_of, void_step
from engine.runtime.ranks.successor import save_for_rank_0
from engine.runtime.ranks.validation import validate_together
from engine.runtime.validator import validation_plan
from engine.task import DataGoneError
from engine.training.data.batch import Batch
from engine.training.gradients.step_report import PendingReport
from engine.training.step_plan import StepPlan, plan_for


class Follower:
    """One rank other than 0, after all ranks are connected."""

    def __init__(self, group: RankGroup, config: RunConfig, train_state: RankState, interrupt: Interrupt) -> None:
        self._group, self._config, self._train_state, self._interrupt = group, config, train_state, interrupt
        self.state: RunState
        self._directory = Path()
        self._news = News(group)
        self._measured_in_parts = PartedMeasure(self._note_halved)
        self._exchange = train_state.exchange_with(self._status)
        self._newest: tuple[PendingReport, Evidence] | None = None
        self._late: Shortage | None = None
        self._has_told = self._is_in_step = False

    def begin(self) -> None:
        """Take over the state of the run and all tensors from rank 0."""
        message, blob = self._group.receive()
        self.state = state_from_text(message["state"], self._train_state.task.spec)
        self._directory = Path(message["directory"])
        self._train_state.restore(unpack(blob), self.state)

    def train(self) -> None:
        """Train until rank 0 ends the run."""
        while self._obey():
            while not self._step():
                pass

    def save(self, lost: str) -> str:
        """Write a checkpoint in place of rank 0, of the state before a step that is not complete.

        `lost` is the sentence about rank 0. Return its name; an empty string if this is not rank 1, its update broke
        off, or there is no run directory.
        """
        if self._group.rank != 1 or self._late is not None:
            return ""
        if self._is_in_step:
            self._train_state.undo_step()
        return save_for_rank_0(self._directory, self._config, self.state, self._train_state, lost)

    # --- orders -------------------------------------------------------------------------

    def _obey(self) -> bool:
        """Carry out orders until the next step begins; return False at the end of the run."""
        self._give_evidence()
        while True:
            message, blob = self._group.receive()
            self._pass_signal_on(message["do"])
            for kind, text, actor, step in message["events"]:
                self._apply(kind, text, actor, step)
            match message["do"]:
                case orders.GO:
                    return True
                case orders.END:
                    return False
                case orders.RESTORE:
                    self._restore(message, blob)
                case orders.VALIDATE:
                    self._validate(message)
                case _:
                    pass

    def _restore(self, message: Message, blob: bytes) -> None:
        self._newest = self._late = None
        self._train_state.restore(unpack(blob), self.state)
        self.state = with_measured(self.state, step=int(message["step"]))
        self._group.pulse.step = self.state.step

    def _validate(self, message: Message) -> None:
        with suppress(DataGoneError, NoSampleFitsError):  # rank 0 has the same error, and decides
            plan = validation_plan(self.state, self._config, frozenset(message["remembered"]))
            validate_together(self._train_state, plan, self._measured_in_parts)

    def _pass_signal_on(self, order: str) -> None:
        """Leave a note about a signal in a pause, in which no step tells rank 0 of it."""
        if order == orders.STILL and not self._has_told and (number := self._heard()):
            self._has_told = number == self._interrupt.signal
            self._group.tell(SIGNAL_KEY, str(number).encode())

    def _heard(self) -> int:
        """Return the number of a signal for rank 0, 0 for none; one that requests a checkpoint is returned once."""
        return self._interrupt.signal or self._interrupt.take_checkpoint()

    def _apply(self, kind: str, text: str, actor: str, step: int) -> None:
        """Repeat an event of rank 0: its effect on tensors, and the next state."""
        event = event_from_text(kind, text)
        self._train_state.carry_out(event, self.state)
        self.state = evolve(self.state, event, step, actor=actor)

    def _note_halved(self, halving: Halving) -> None:
        self._news.add(alert_of(self.state.step, halving, self._group.rank))

    # --- step ---------------------------------------------------------------------------

    def _step(self) -> bool:
        """Train one step together with the other ranks. Return whether orders follow."""
        self._give_evidence()
        state, train_state = self.state, self._train_state
        self._group.pulse.step = state.step
        self._is_in_step = True
        drawn = self._drawn()
        ends_epoch = drawn is not None and drawn.ends_epoch
        if drawn is not None and not drawn.batches:
            self._is_in_step = False
            return ends_epoch
        plan = replace(plan_for(train_state.progress, state, self._config), measure_layers=False)  # rank 0 does
        seed_step(self._config.training.seed, state.step, self._group.rank)
        if drawn is None:
            void_step(train_state.train_step, self._exchange, self._group.rank, plan)
        else:
            evidence = evidence_of(train_state.train_step, drawn.batches, plan)
            self._newest = self._run(drawn.batches, plan, evidence)
        told, self._is_in_step = self._exchange.told, False
        if told.is_void:
            self._newest = None
            train_state.undo_step()
            return True
        self.state = with_measured(state, step=state.step + 1, epoch=train_state.epoch, lr=plan.lr)
        self._group.pulse.step = self.state.step
        if not (told.is_word or ends_epoch):
            return False
        self._group.gather_if_any(self._late)
        return True

    def _run(
        self, batches: Sequence[Batch], plan: StepPlan, evidence: Evidence
    ) -> tuple[PendingReport, Evidence] | None:
        """Train this rank's part of a step; without a part in it, `None`, if memory runs out.

        In the update it is too late to tell the others with this step: they are told at its end or with the next one.
        """
        step = self._train_state.train_step
        done = attempt_step(step, self._exchange, self._group.rank, lambda: step.run(batches, plan))
        if not isinstance(done, Shortage):
            return done, evidence
        if done.is_late:
            self._late = done
            return None
        self._news.add_shortage(done)
        if not self._exchange.is_done:
            void_step(step, self._exchange, self._group.rank, plan)
        return None

    def _drawn(self) -> Any:
        """Return the batches of the next step; `None` if they cannot be had, or if this rank has no part in it."""
        state = self.state
        if self._late is not None:
            self._news.add_shortage(replace(self._late, part=f"{self._late.part}, in the step before"))
            self._exchange.begin()
            self._train_state.refuse_draw(state.excluded_samples)
            return None
        try:
            drawn = self._train_state.draw(
                state.accumulation, excluded=state.excluded_samples, give_up=self._report_stuck_readers
            )
        except DataGoneError as error:
            self._news.add_gone(str(error))
            return None
        except MEMORY_ERRORS as error:
            if not is_out_of_memory(error):
                raise
            step = self._train_state.train_step
            self._news.add_shortage(shortage_of(error, step, self._exchange, self._group.rank))
            return None
        for rejection in drawn.rejections if drawn is not None else ():
            self._news.add(SampleRejected(rejection.file, rejection.error))
        return drawn

    def _report_stuck_readers(self) -> bool:
        for complaint in self._train_state.stream.take_complaints():
            message = f"rank {self._group.rank}: {complaint}: it is replaced"
            self._news.add(AlertRaised("data worker", message, "check the disk of the data"))
        return False

    def _status(self) -> int:
        return signalled(self._heard()) | (NEWS if self._news.send() else 0)

    def _give_evidence(self) -> None:
        """Leave the evidence of the newest step for rank 0 if this rank is the first that was not finite."""
        if self._newest is None:
            return
        (pending, evidence), self._newest = self._newest, None
        report = pending.resolve()
        if report.bad_ranks and min(report.bad_ranks) == self._group.rank:
            self._group.tell(evidence_key(report.index, self._group.rank), pack_evidence(evidence))

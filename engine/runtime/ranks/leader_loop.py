"""The training loop of rank 0: at an open boundary it decides as on one rank; the step is that of all ranks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from engine.config.tree import RunConfig
from engine.forensics.capture import Evidence, from_payload, random_state, set_random_state
from engine.protocol.events import SampleRejected
from engine.protocol.wire import event_from_text
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.commands.command_processor import CommandProcessor
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.loop import Loop
from engine.runtime.monitoring.launched_step import Launched
from engine.runtime.monitoring.step_monitor import StepMonitor
from engine.runtime.outages.data_supply import Supply
from engine.runtime.ranks.exchange import WORD
from engine.runtime.ranks.group import RankLostError
from engine.runtime.ranks.leader import LeaderState
from engine.runtime.ranks.notes import GONE, SHORT, evidence_key, news_key, unpack_evidence
from engine.runtime.ranks.shared_halver import SharedHalver, Shortage, void_step
from engine.runtime.recorder import RunRecorder
from engine.supervision.alerts.stragglers import StragglerMonitor
from engine.task import DataGoneError
from engine.training.step_plan import plan_for
from engine.training.train_state import DrawnBatch


class _SharedSupply(Supply):
    """Waits for data like `Supply`. They are there again only once all ranks have them."""

    def has_come(self) -> None:
        """Wait for the other ranks' part."""

    def has_come_to_all(self) -> None:
        """Note that data arrive again."""
        super().has_come()


class LeaderLoop(Loop):
    """Trains like `Loop`, together with the other ranks."""

    def __init__(
        self,
        config: RunConfig,
        train_state: LeaderState,
        recorder: RunRecorder,
        checkpointer: Checkpointer,
        commands: CommandProcessor,
        step_monitor: StepMonitor,
    ):
        super().__init__(config, train_state, recorder, checkpointer, commands, step_monitor)
        leader = train_state.leader
        self._leader, self._state = leader, train_state
        self._shared_supply = _SharedSupply(config.data, recorder, checkpointer, commands, step_monitor.settle)
        self.supply = self._shared_supply
        self._exchange = train_state.exchange_with(self._status)
        world = leader.group.world
        self._shared_halver = SharedHalver(train_state, checkpointer, commands, step_monitor.settle, world)
        self._halver = self._shared_halver
        self._interrupt: Interrupt = commands.interrupt
        self._random = random_state(train_state.device)
        self._news = dict.fromkeys(range(world), 0)
        self._rejected: set[SampleRejected] = set()
        self._stragglers = StragglerMonitor(world, config.distributed.slow_factor)
        leader.begin(recorder, train_state)

    def train(self) -> str:
        """Train to the end, like `Loop.train`, and let the other ranks end."""
        reason = super().train()
        self._open_boundary()
        self._leader.end()
        return reason

    def _status(self) -> int:
        """Return whether the other ranks have to wait after this step: for commands, a pause, or the end."""
        training, state = self._config.training, self._recorder.state
        is_last = bool(training.max_steps) and state.step + 1 >= training.max_steps
        return WORD if is_last or state.steps_until_pause == 1 or self._commands.is_waiting() else 0

    # --- boundaries ---------------------------------------------------------------------

    def _open_boundary(self) -> None:
        """Let the other ranks wait for orders. If they have begun the next step, it is undone."""
        if not self._leader.is_open:
            self._state.refuse_draw(self._recorder.state.excluded_samples)
            self._void()

    def _void(self) -> None:
        self._exchange.begin()
        before = random_state(self._state.device)
        plan = plan_for(self._state.progress, self._recorder.state, self._config)
        void_step(self._state.train_step, self._exchange, 0, plan)
        set_random_state(before, self._state.device)
        self._leader.is_open = True
        self._hear()

    def _stand_still(self) -> None:
        self._open_boundary()
        super()._stand_still()
        if number := self._leader.keep_waiting():
            self._interrupt.ask(number)

    # --- step ---------------------------------------------------------------------------

    def _advance(self) -> None:
        self._leader.group.pulse.step = self._recorder.state.step
        self._random = random_state(self._state.device)
        self._leader.close()
        super()._advance()
        if self._checkpointer.memory.validation_due:
            self._leader.is_open = True  # the other ranks wait after the last step of an epoch

    def _draw(self) -> DrawnBatch | None:
        drawn = super()._draw()
        if drawn is None:
            self._void()
            self._halve_own()
        return drawn

    def _launch(self, drawn: DrawnBatch) -> Launched | None:
        """Execute a step of all ranks; return `None` if one of them had no part in it.

        If a rank is lost, the step is undone, so that a checkpoint of the state before it can be written.
        """
        try:
            launched = super()._launch(drawn)
        except RankLostError:
            self._undo()
            raise
        if launched is None:
            self._give_way(drawn)
            return None
        return self._with_ranks(launched) if self._is_done_by_all(drawn) else None

    def _is_done_by_all(self, drawn: DrawnBatch) -> bool:
        """Return whether the step that was added up counts. Else all ranks have undone it, or go back."""
        told = self._exchange.told
        self._leader.is_open = told.is_word
        if told.is_void:
            self._undo()
            self._hear()
            self._halve_own()
            return False
        self._leader.group.pulse.step = self._recorder.state.step + 1
        self._hear()
        self._shared_supply.has_come_to_all()
        if told.is_word or drawn.ends_epoch:
            late = self._late_ranks()
            self._leader.is_open = told.is_word or bool(late)
            self._shared_halver.shortage = late[0] if late else None
        elif self._shared_halver.shortage is not None:
            self._open_boundary()
        is_done = self._shared_halver.shortage is None
        self._halve_own()
        return is_done

    def _late_ranks(self) -> Sequence[Shortage]:
        """Return how memory ran out in the updates of some ranks, where all wait after a step."""
        own = self._shared_halver.shortage
        try:
            return self._leader.group.gather_if_any(own)
        except RankLostError:
            if own is not None:
                raise
            return ()  # the step is complete here, and the next exchange names the rank

    def _give_way(self, drawn: DrawnBatch) -> None:
        """Let all ranks undo the step in which memory ran out here, or go back, and halve the batch."""
        if self._exchange.is_done:
            self._is_done_by_all(drawn)
        else:
            self._undo()
            self._void()
            self._halve_own()

    def _halve_own(self) -> None:
        """Halve the batch of all ranks if memory has run out here, or in an update; all wait for commands."""
        shortage, self._shared_halver.shortage = self._shared_halver.shortage, None
        if shortage is not None:
            self._shared_halver.halve(shortage)

    def _undo(self) -> None:
        self._state.undo_step()
        set_random_state(self._random, self._state.device)

    def _with_ranks(self, launched: Launched) -> Launched:
        """Return a step with what all ranks measured."""
        step, told = self._recorder.state.step, self._exchange.told
        sizes = [batch.total for batch in launched.evidence.batches]
        for alert in self._stragglers.observe(step + 1, told.seconds, told.waits, sizes):
            self._recorder.record_event(alert)
        seconds = {f"ranks/{rank}/step_seconds": value for rank, value in enumerate(told.seconds)}
        waits = {f"ranks/{rank}/data_wait": value for rank, value in enumerate(told.waits)}
        return replace(launched, by_rank={**seconds, **waits}, evidence_of=partial(self._fetch, step))

    def _fetch(self, step: int, rank: int) -> Evidence | None:
        """Return the evidence of another rank about a step; `None` if it has given none."""
        packed = self._leader.group.told(evidence_key(step, rank))
        if not packed:
            return None
        payload: Mapping[str, Any] = unpack_evidence(packed)
        return from_payload(payload, self._state.device, self._recorder.state.spec.clamped_terms())

    # --- news of the other ranks ----------------------------------------------------------

    def _hear(self) -> None:
        """Record what the other ranks have to say. Data that one of them cannot reach are waited for."""
        told = self._exchange.told
        if told.signal:
            self._interrupt.ask(told.signal)
        gone, shortage = "", None
        for rank in told.news:
            note = self._leader.group.told(news_key(rank, self._news[rank]))
            self._news[rank] += 1
            for kind, text in json.loads(note or b"[]"):
                if kind == GONE:
                    gone = gone or f"rank {rank}: {text}"
                elif kind == SHORT:
                    said = Shortage(*json.loads(text))
                    shortage = said if shortage is None or said.is_late else shortage
                else:
                    self._record(kind, text)
        if shortage is not None and self._shared_halver.shortage is None:
            self._shared_halver.halve(shortage)
        elif shortage is not None and shortage.is_late:
            self._shared_halver.shortage = shortage  # in place of one that all have undone
        if gone:
            self.supply.wait(DataGoneError(gone))

    def _record(self, kind: str, text: str) -> None:
        event = event_from_text(kind, text)
        is_rejection = isinstance(event, SampleRejected)
        if is_rejection and event in self._rejected:
            return
        if is_rejection:
            self._rejected.add(event)
        self._recorder.record_event(event)

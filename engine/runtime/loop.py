"""The training loop: commands, step, report, validation, checkpoint, in this order."""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial

from engine.config.tree import RunConfig
from engine.protocol.events import Activity, EpochCompleted, Paused, SampleRejected
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.commands.command_processor import CommandProcessor
from engine.runtime.monitoring.launched_step import Launched, StepTimes
from engine.runtime.monitoring.step_monitor import StepMonitor
from engine.runtime.monitoring.supervisor import TrainingDivergedError
from engine.runtime.outages.data_supply import Supply
from engine.runtime.outages.halving import BatchHalver
from engine.runtime.outages.run_directory import Upkeep
from engine.runtime.outages.time_limit import TimeKeeper
from engine.runtime.recorder import RunRecorder
from engine.task import DataGoneError
from engine.training.device import PeakMemory
from engine.training.step_plan import plan_for
from engine.training.train_state import DrawnBatch, TrainState

_PAUSE_POLL_SECONDS = 0.02


class Loop:
    """Trains until the run is complete or stopped."""

    def __init__(
        self,
        config: RunConfig,
        train_state: TrainState,
        recorder: RunRecorder,
        checkpointer: Checkpointer,
        commands: CommandProcessor,
        step_monitor: StepMonitor,
    ):
        self._config = config
        self._train_state = train_state
        self._recorder = recorder
        self._checkpointer = checkpointer
        self._commands = commands
        self._step_monitor = step_monitor
        self._upkeep = Upkeep(checkpointer)
        self._time = TimeKeeper(commands.interrupt, checkpointer)
        self.supply = Supply(config.data, recorder, checkpointer, commands, step_monitor.settle)
        self._halver = BatchHalver(train_state, checkpointer, commands, step_monitor.settle)
        self._peak = PeakMemory(train_state.device)
        self._lag = 1 if train_state.device.type == "cuda" else 0
        self._epoch_start = time.perf_counter()
        self._times = StepTimes(checkpointer)

    def train(self) -> str:
        """Train to the end and return the reason of the end. Raises TrainingDivergedError."""
        self._step_monitor.show_gate()
        self._recorder.set_activity(Activity.RUNNING)
        with self._step_monitor.load.watched(), closing(self._upkeep):
            while not (ended := self.turn()):
                pass
        return ended

    def turn(self) -> str:
        """Process one boundary, then a step, an epoch's end, or a pause.

        Return the reason of the run's end, or an empty string. Pending reports from the device are processed before a
        command, because a rollback may discard their steps.
        """
        self._checkpointer.note_written()
        self._upkeep.observe()
        self._time.observe()
        self._halver.observe()
        if self._commands.is_waiting():
            self._open_boundary()
            self._step_monitor.settle()
            with self.supply.kept(lambda: self._commands.is_validating):
                self._commands.process_pending()
            self._times.skip()
        state = self._recorder.state
        if state.activity is Activity.STOPPING:
            return "stopped"
        if state.activity is Activity.PAUSED:
            self._stand_still()
        elif self._checkpointer.memory.validation_due:
            self._end_epoch()
        elif self._is_complete():
            return "complete"
        else:
            self._advance()
        return ""

    def _open_boundary(self) -> None:
        """Prepare this boundary for commands."""

    def _stand_still(self) -> None:
        with self.supply.held():
            time.sleep(_PAUSE_POLL_SECONDS)
        self._times.restart()
        self._time.skip()

    def _is_complete(self) -> bool:
        training, state = self._config.training, self._recorder.state
        out_of_steps = bool(training.max_steps) and state.step >= training.max_steps
        return out_of_steps or self._train_state.progress >= training.epochs

    # --- step ---------------------------------------------------------------------------

    def _advance(self) -> None:
        """Execute the next step, unless all that is left of the epoch is excluded."""
        state = self._recorder.state
        self._halver.begin()
        begins_epoch = self._train_state.position.index == 0
        drawn = self._draw()
        if drawn is None:
            return
        for rejection in drawn.rejections:
            self._recorder.record_event(SampleRejected(rejection.file, rejection.error))
        if begins_epoch and not drawn.batches:
            raise TrainingDivergedError(
                f"every batch of epoch {self._train_state.epoch + 1} holds one of {len(state.excluded_samples)} "
                "excluded samples: nothing is left to train on; start a new run with smaller batches or other data"
            )
        if drawn.batches:
            launched = self._launch(drawn)
            if launched is None:
                return
            self._step_monitor.add(launched)
            lr = launched.pending.plan.lr
            self._recorder.update(step=state.step + 1, epoch=self._train_state.epoch, lr=lr, doing="")
        # A step after which something reads or saves the run, or nothing follows, is recorded before that.
        is_last = drawn.ends_epoch or self._checkpoint_is_due() or self._is_complete()
        self._step_monitor.settle(0 if is_last else self._lag)
        if drawn.batches:
            self._count_down()
        if drawn.ends_epoch:
            self._checkpointer.memory.validation_due = True
        elif drawn.batches and self._checkpoint_is_due():
            self._checkpointer.checkpoint("step")

    def _draw(self) -> DrawnBatch | None:
        """Return the batches of the next step; `None` if a command is pending, or data or memory are missing."""
        state = self._recorder.state
        if not self._train_state.stream.is_ready():
            self._recorder.update(doing="waiting for a batch")
        draw = partial(self._train_state.draw, excluded=state.excluded_samples, give_up=self.supply.give_up)
        try:
            with self.supply.kept():
                drawn = self._halver.attempt(lambda: draw(state.accumulation))
        except DataGoneError as error:
            self.supply.wait(error)
            return None
        if drawn is not None:
            self.supply.has_come()
        return drawn

    def _launch(self, drawn: DrawnBatch) -> Launched | None:
        """Execute the step of the drawn batches; return `None` if it was undone."""
        plan = plan_for(self._train_state.progress, self._recorder.state, self._config)
        evidence = self._step_monitor.faults.forensics.capture(drawn.batches, plan)
        with self.supply.kept(self._halver.restore):
            pending = self._halver.attempt(lambda: self._train_state.train_step.run(drawn.batches, plan))
        if pending is None:
            return None
        return self._times.launched(
            pending, evidence, progress=self._train_state.progress, transfer=drawn.transfer, memory=self._peak.take()
        )

    def _checkpoint_is_due(self) -> bool:
        every = self._config.checkpoint.every_steps
        return every > 0 and self._recorder.state.step % every == 0

    def _count_down(self) -> None:
        left = self._recorder.state.steps_until_pause
        if left is not None and left > 1:
            self._recorder.update(steps_until_pause=left - 1)
        elif left is not None:
            self._step_monitor.settle()
            self._recorder.record_event(Paused(before=Activity.RUNNING.value), reason="the granted steps are done")

    # --- epoch --------------------------------------------------------------------------

    def _end_epoch(self) -> None:
        """Record the epoch's summary, validate, and write a checkpoint.

        A resume repeats it if a stop interrupted it.
        """
        done = round(self._train_state.progress)
        seconds, before = time.perf_counter() - self._epoch_start, self._recorder.state.best_score
        is_due = done % self._config.validation.every_epochs == 0 or self._is_complete()
        if is_due and not self._validate():
            return
        best = is_due and self._recorder.state.best_score != before
        self._checkpointer.memory.validation_due = False
        self._recorder.record_event(EpochCompleted(done - 1, seconds, self._step_monitor.close_epoch()))
        self._epoch_start = time.perf_counter()
        self._step_monitor.measure_gate()
        self._recorder.update(total_steps=self._train_state.total_steps(self._recorder.state))
        self._recorder.watch_writers()
        self._checkpoint_epoch(done, best)
        self._times.restart_pace()

    def _validate(self) -> bool:
        """Validate and record the result. Return False if the run is stopped, or the data cannot be reached."""
        try:
            with self.supply.kept():
                summary = self._checkpointer.validator.validate()
        except DataGoneError as error:
            self.supply.wait(error)
            return False
        if summary is None:
            return False
        self.supply.has_come()
        self._recorder.record_event(summary)
        self._step_monitor.note_validation(summary)
        self._times.validation += summary.seconds
        return True

    def _checkpoint_epoch(self, done: int, best: bool) -> None:
        every = self._config.checkpoint.every_epochs
        due = every > 0 and done % every == 0
        if best or due or self._checkpoint_is_due():
            self._checkpointer.checkpoint("best" if best else "epoch", best=best)

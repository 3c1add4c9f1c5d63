"""A training that is driven by a trainer (Hugging Face, Lightning): what the callbacks of both do at the same moments.

The callbacks' hooks are `survived`: a fault of the cockpit removes it from the training, which goes on. Of several
processes all let go at one boundary, since each of them would hold, or change its rate, without the others.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from engine.adapters.capabilities import Adapter
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.survive import Survive, say
from engine.adapters.ranks.rank_word import RankWord
from engine.adapters.ranks.trainer_ranks import TrainerRanks
from engine.adapters.run.attached_run import AttachedRun, TrainingStopped
from engine.adapters.run.run_files import error_since, newest_error, say_recorded_in
from engine.adapters.run.settings import leave_to_rank_0
from engine.adapters.run.state.attached_state import AttachedState
from engine.adapters.trainers.trainer_records import TrainerRecords, while_open
from engine.adapters.trainers.training import RunOptions, TrainerTraining, opened_run
from engine.adapters.trainers.training_frame import TrainingFrame
from engine.adapters.trainers.training_hooks import TrainingHooks
from engine.protocol.events import Activity, Event
from engine.runtime.commands.command_processor import HandedOver

CarryOut = Callable[[HandedOver], str]
_TOGETHER: Final = "several processes are paused together: use `resume` first"
_PASSED: Final = (
    "the trainer does this after a step, and has done it once in this pause: use `step 1` or `resume` first"
)


class TrainerRun(TrainerRecords):
    """One run of a trainer at a time: opened with the training, read after each step, ended with the training."""

    def __init__(self, adapter: Adapter, options: RunOptions) -> None:
        super().__init__()
        self.is_stopping = False
        self.todo: frozenset[type[Event]] = frozenset()
        self.options = options
        self._adapter = adapter
        self._ranks: TrainerRanks | None = None
        self._survive = Survive(self.detach)
        self._installed: TrainingHooks | None = None
        self._frame: TrainingFrame | None = None
        self._earlier_error: BaseException | None = None

    # --- start and end --------------------------------------------------------------------

    def open(self, training: TrainerTraining) -> None:
        """Begin to record `training`. Raises UserError if its run exists and is not resumed, or cannot be written."""
        self.end("another training began")
        self._run = None
        self._ranks = TrainerRanks(training.rank, training.num_ranks) if training.num_ranks > 1 else None
        try:
            self._open(training)
            if self._ranks is not None and self.hooks is not None:
                self._join(self._ranks, self.hooks)
        except BaseException as error:
            ranks, self._ranks = self._ranks, None
            if ranks is not None:
                ranks.refuse(error)
            self._unhook()
            raise

    def _join(self, ranks: TrainerRanks, hooks: OptimizerHooks) -> None:
        """Let the other processes begin, in rank 0, or begin with what is in force there."""
        if ranks.words.is_first:
            ranks.lead(self.run, hooks)
            self.run.on_fault = self.detach
        else:
            self._obey(ranks.follow())

    def _look(self) -> None:
        """Look, in the cockpit's thread, whether another process complains, or the trainer was left by an exception."""
        ranks, frame = self._ranks, self._frame
        if ranks is not None:
            ranks.look()
        if frame is not None and frame.is_left():
            self._frame = None
            threading.Thread(target=self._leave, args=(frame.error(),), name="cockpit-end").start()

    def _leave(self, error: BaseException) -> None:
        """End the run as failed with `error`, outside of the training's thread, which removes the hooks later."""
        if self._installed is not None:
            self._installed.retire()
        self._close_run(error)

    def _open(self, training: TrainerTraining) -> None:
        self._installed = installed = TrainingHooks(training, self.detach)
        self.hooks = hooks = installed.hooks
        installed.install(training.optimizers)
        self.is_stopping = False
        if training.rank:  # it leaves out the same updates as rank 0: all have the same gradients
            leave_to_rank_0()
            return
        self._live = live = AttachedState(training.models, hooks, total=training.total)
        self._run = run = opened_run(self._adapter, self.options, training, live)
        self._frame, run.on_look = training.frame, self._look
        self._replays = installed.keep_passes(training, run)
        self.knobs.declare_in(run)
        self._earlier_error = newest_error()
        atexit.register(self.at_exit)
        say_recorded_in(run.directory)
        self.clock.restart()

    def end(self, reason: str) -> None:
        """End the run; a second call does nothing."""
        if self._replays is not None:
            self._replays.end()
        self._close_run(reason)
        self._unhook()

    def fail(self, error: BaseException) -> None:
        """End the run because the training raised `error`; a second call does nothing."""
        self._close_run(error)
        self._unhook()

    def _close_run(self, why: str | BaseException) -> None:
        """End the run for a reason, or as failed with an error."""
        self._frame, run = None, self._run
        if run is None or run.is_over:
            return
        with suppress(Exception):
            self.handed.decline_all(run, "the training ended before the trainer did it")
            run.add_logged(self.logged)
        with suppress(Exception):
            _record_end(run, why)

    def at_exit(self) -> None:
        """End the run with the program: as failed if an exception ended it."""
        if (error := error_since(self._earlier_error)) is not None:
            self.fail(error)
        else:
            self.end("ended with the program")

    def detach(self, error: Exception) -> None:
        """Remove everything from the training after a fault of the cockpit, and say so.

        Where several processes train, all do so at the boundary after the next.
        """
        if os.environ.get("TRAINING_COCKPIT_RAISE"):
            raise error
        if self._ranks is not None and self._ranks.words.has_begun:
            if not self._ranks.complain(error):
                self._unhook()
            self._stop_recording(error, lets_go=False)  # the hooks stay until all processes remove theirs
            return
        if self._run is None:
            with suppress(Exception):
                say(f"not attached, because of a fault of its own: {error!r}")
        self._stop_recording(error)
        self._unhook()

    def _stop_recording(self, error: Exception, *, lets_go: bool = True) -> None:
        run = self._run
        if run is None or run.is_over:
            return
        with suppress(Exception):
            self.handed.decline_all(run, f"the cockpit detached itself: {error!r}")
        run.detach(error, lets_go=lets_go)

    def _unhook(self) -> None:
        atexit.unregister(self.at_exit)
        ranks, self._ranks = self._ranks, None
        self.hooks = self._replays = None
        if ranks is not None:
            ranks.let_go()
        if self._installed is not None:
            self._installed.remove()

    # --- steps ----------------------------------------------------------------------------

    def boundary(self, carry_out: CarryOut | None = None) -> None:
        """Carry out commands, and wait while the run is paused. `is_stopping` is then whether it is to end.

        `carry_out` does a checkpoint or a validation, or adds it to `handed` for the trainer. It returns an empty
        string, or why it cannot. Without it both are refused: the trainer has passed the place where it does them.
        Where several processes train, all call this after each step; `todo` is then what the trainer is to do.
        """
        self.todo = frozenset()
        ranks, hooks = self._ranks, self.hooks
        if ranks is None:
            if hooks is not None and not self.is_open:  # the cockpit's thread has detached it
                self._unhook()
            self._carry_out_all(carry_out)
        elif hooks is not None and carry_out is not None:
            hooks.take()  # of a step that could not be recorded
            words = ranks.words
            if words.open_next():
                if words.is_first:
                    self._decide(ranks, hooks, carry_out)
                else:
                    self._obey(words.hear())
            if words.is_first and (ranks.fault is not None or self.run.is_due):
                words.hold_next()

    def _decide(self, ranks: TrainerRanks, hooks: OptimizerHooks, carry_out: CarryOut) -> None:
        """Carry out commands in rank 0, and tell the other processes; after a fault, let all detach themselves."""
        with self._survive:  # the others wait for a word here
            self._carry_out_all(carry_out)
        if ranks.fault is not None:
            ranks.words.say(RankWord(is_gone=True, stop=self.is_stopping))
            self._unhook()
        else:
            self.todo = frozenset(type(handed.event) for handed in self.handed.waiting)
            ranks.say(self.run, hooks, self.todo, stop=self.is_stopping)

    @while_open
    def _carry_out_all(self, carry_out: CarryOut | None) -> None:
        run = self.run
        while True:
            try:
                run.boundary()
            except TrainingStopped:
                self.is_stopping = True
            asked, run.handed_over[:] = run.handed_over[:], []
            is_together = self._ranks is not None and run.recorder.state.activity is Activity.PAUSED
            for handed in asked:
                reason = _TOGETHER if is_together else _PASSED if carry_out is None else carry_out(handed)
                if reason:
                    run.decline(handed, reason)
            if self.is_stopping or not asked or self.handed:
                break
        self.clock.restart()

    def _obey(self, word: RankWord) -> None:
        """Bring into force what rank 0 has decided."""
        self.is_stopping = word.stop
        if self.hooks is None or word.is_gone:
            self._unhook()
            return
        word.bring_into_force(self.hooks)
        self.knobs.adopt(word.knobs)
        self.todo = word.todo


def _record_end(run: AttachedRun, why: str | BaseException) -> None:
    """End `run` without a checkpoint of the cockpit's own: the trainer writes those."""
    if isinstance(why, str):
        run.end(why, checkpoint=False)
    elif isinstance(why, KeyboardInterrupt | SystemExit):
        run.end("interrupted", checkpoint=False)
    else:
        run.fail(why)

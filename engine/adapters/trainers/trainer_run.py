"""A training that is driven by a trainer (Hugging Face, Lightning): what the callbacks of both do at the same moments.

The callbacks' hooks are `survived`: a fault of the cockpit removes it from the training, which goes on.
"""

from __future__ import annotations

import atexit
import functools
import math
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec

from torch import Tensor

from engine.adapters.capabilities import Adapter
from engine.adapters.hooks import patches
from engine.adapters.hooks.gradient_reader import ParameterNames
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks, Update
from engine.adapters.hooks.weight_norms import WeightNorms
from engine.adapters.replays.model_replay import ModelReplay
from engine.adapters.run.attached_run import AttachedRun, TrainingStopped
from engine.adapters.run.attached_state import AttachedState, LoaderPosition
from engine.adapters.steps.step_reading import StepReading
from engine.adapters.trainers.handed_queue import HandedQueue
from engine.adapters.trainers.late_knobs import LateKnobs
from engine.adapters.trainers.rank_words import RankWord, RankWords
from engine.adapters.trainers.step_clock import StepClock
from engine.adapters.trainers.training import RunOptions, TrainerTraining, opened_run, saved_decisions
from engine.errors import UserError
from engine.protocol import events as e
from engine.protocol.events import Activity, Event
from engine.runtime.command_processor import HandedOver

P = ParamSpec("P")
CarryOut = Callable[[HandedOver], str]
_PARTS_OF_EPOCH: Final = 1_000_000
_TOGETHER: Final = "several processes are paused together: use `resume` first"
_PASSED: Final = (
    "the trainer does this after a step, and has done it once in this pause: use `step 1` or `resume` first"
)


def while_open(method: Callable[Concatenate[TrainerRun, P], None]) -> Callable[Concatenate[TrainerRun, P], None]:
    """Return `method` so that it does nothing without an open run."""

    @functools.wraps(method)
    def call(self: TrainerRun, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.is_open:
            method(self, *args, **kwargs)

    return call


class TrainerRun:
    """One run of a trainer at a time: opened with the training, read after each step, ended with the training."""

    def __init__(self, adapter: Adapter, options: RunOptions) -> None:
        self.hooks: OptimizerHooks | None = None
        self.is_stopping = False
        self.todo: frozenset[type[Event]] = frozenset()
        self.logged: dict[str, float | Tensor] = {}
        self.knobs = LateKnobs()
        self.handed = HandedQueue()
        self.clock = StepClock()
        self.weights = WeightNorms()
        self.options = options
        self._adapter = adapter
        self._run: AttachedRun | None = None
        self._live: AttachedState | None = None
        self._replay: ModelReplay | None = None
        self._ranks: RankWords | None = None
        self._earlier_error: BaseException | None = None

    # --- start and end --------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether a run is being recorded."""
        return self._run is not None and not self._run.is_over

    @property
    def run(self) -> AttachedRun:
        """The current run, or the last one. Raises UserError before the first."""
        if self._run is None:
            raise UserError("the run begins with the training")
        return self._run

    def open(self, training: TrainerTraining) -> None:
        """Begin to record `training`. Raises UserError if its run exists and is not resumed, or cannot be written."""
        self.end("another training began")
        self._run = None
        self._ranks = RankWords(training.rank) if training.num_ranks > 1 else None
        try:
            self._open(training)
        except BaseException:
            self._unhook()
            raise
        if self._ranks is not None and self.hooks is not None:
            if training.rank:
                self._obey(self._ranks.hear())
            else:
                self._ranks.say(_word(self.run, self.hooks))

    def _open(self, training: TrainerTraining) -> None:
        self.hooks = hooks = OptimizerHooks(
            ParameterNames(training.models), self.detach, judges_closures=training.judges_closures
        )
        hooks.judges_losses = training.num_ranks == 1
        for optimizer in training.optimizers:
            hooks.watch(optimizer)
        patches.install(hooks)
        self.is_stopping = False
        if training.rank:  # it leaves out the same updates as rank 0: all have the same gradients
            return
        self._live = live = AttachedState(training.models, hooks, total=training.total)
        self._run = run = opened_run(self._adapter, self.options, training, live)
        if training.num_ranks == 1:  # one of several cannot repeat a pass alone: layers may wait for the others
            self._replay = ModelReplay(training.replayed or training.models)
            self._replay.watch()
        self.knobs.declare_in(run)
        self._earlier_error = _newest_error()
        atexit.register(self.at_exit)
        where = run.directory
        sys.stderr.write(f"cockpit: recording {where}; from another terminal: training-cockpit status {where}\n")
        self.clock.restart()

    def saved(self) -> dict[str, Any]:
        """Return what the trainer's checkpoint has to hold, so that a resume knows the decisions at its step."""
        if self._run is None or self.hooks is None or self._run.is_over:
            return {}
        return saved_decisions(self._run, self.hooks.learning_rate)

    def end(self, reason: str) -> None:
        """End the run; a second call does nothing."""
        self._end(lambda run: run.end(reason, checkpoint=False))

    def fail(self, error: BaseException) -> None:
        """End the run because the training raised `error`; a second call does nothing."""
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self.end("interrupted")
        else:
            self._end(lambda run: run.fail(error))

    def _end(self, how: Callable[[AttachedRun], None]) -> None:
        if self._run is not None and not self._run.is_over:
            with suppress(Exception):
                self.handed.decline_all(self._run, "the training ended before the trainer did it")
                self._run.add_logged(self.logged)
            with suppress(Exception):
                how(self._run)
        self._unhook()

    def at_exit(self) -> None:
        """End the run with the program: as failed if an exception ended it."""
        error = _newest_error()
        if error is not None and error is not self._earlier_error:
            self.fail(error)
        else:
            self.end("ended with the program")

    def detach(self, error: Exception) -> None:
        """Remove everything from the training after a fault of the cockpit, and say so."""
        if os.environ.get("TRAINING_COCKPIT_RAISE"):
            raise error
        if self._run is None:
            with suppress(Exception):
                sys.stderr.write(f"cockpit: not attached, because of a fault of its own: {error!r}\n")
        elif not self._run.is_over:
            with suppress(Exception):
                self.handed.decline_all(self._run, f"the cockpit detached itself: {error!r}")
            self._run.detach(error)
        self._unhook()

    def _unhook(self) -> None:
        atexit.unregister(self.at_exit)
        hooks, ranks, replay = self.hooks, self._ranks, self._replay
        self.hooks = self._ranks = self._replay = None
        if ranks is not None and ranks.is_first:
            with suppress(Exception):
                ranks.leave()
        with suppress(Exception):
            if hooks is not None:
                patches.remove(hooks)
                hooks.remove()
        with suppress(Exception):
            if replay is not None:
                replay.remove()

    # --- steps ----------------------------------------------------------------------------

    def end_step(self, epoch: float, logged: Mapping[str, float | Tensor] | None = None) -> None:
        """Record the step if there was an update; `epoch` is the progress, fractional.

        `logged` are numbers of this step; those in `self.logged` are recorded with it too.
        """
        if self.hooks is None or not self.hooks.update.count:
            return
        update = self.hooks.take()
        if self._live is None or not self.is_open:
            return
        run = self.run
        self._live.position = _position(epoch)
        reading = StepReading(
            update,
            _losses(update),
            seconds=self.clock.seconds,
            wait=self.clock.wait,
            samples=self.clock.samples,
            logged={**self.logged, **(logged or {})},
            weight_norms=self.weights.read(self.hooks),
        )
        self.logged = {}
        if run.add(reading) and self._replay is not None and run.replays.is_due(update, run.step):
            fault, seconds = self._replay.name_fault()
            run.name_fault(fault, run.step, seconds)
        if self._replay is not None:
            self._replay.forget()
        self.clock.restart()

    def boundary(self, carry_out: CarryOut | None = None) -> None:
        """Carry out commands, and wait while the run is paused. `is_stopping` is then whether it is to end.

        `carry_out` does a checkpoint or a validation, or adds it to `handed` for the trainer. It returns an empty
        string, or why it cannot. Without it both are refused: the trainer has passed the place where it does them.
        Where several processes train, all call this after each step; `todo` is then what the trainer is to do.
        """
        self.todo = frozenset()
        ranks, hooks = self._ranks, self.hooks
        if hooks is None or (ranks is not None and carry_out is None):
            return
        if ranks is None:
            self._carry_out_all(carry_out)
        elif not ranks.is_first:
            if ranks.open_next():
                self._obey(ranks.hear())
        else:
            if ranks.open_next():
                self._carry_out_all(carry_out)
                self.todo = frozenset(type(handed.event) for handed in self.handed.waiting)
                ranks.say(_word(self.run, hooks, self.todo, stop=self.is_stopping))
            if self.run.is_due:
                ranks.hold_next()

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
        if self.hooks is None or word.is_gone:
            self._unhook()
            return
        rate = self.hooks.learning_rate
        rate.scale, rate.pin, rate.reference = word.lr_scale, word.lr_pin, word.lr_reference
        self.hooks.clip = word.clip
        self.knobs.adopt(word.knobs)
        self.is_stopping = word.stop
        self.todo = word.todo

    # --- what the trainer does -------------------------------------------------------------

    @while_open
    def checkpointed(self, path: Path | str, kind: str) -> None:
        """Record the trainer's own checkpoint at `path`, as the answer of the commands that asked for one."""
        run, asked = self.run, self.handed.take(e.CheckpointRequested)
        saved = checkpoint_event(run, path, "asked" if asked else kind)
        for handed in asked:
            run.answer(handed, saved)
        if not asked:
            run.record(saved)

    @while_open
    def validated(self, metrics: Mapping[str, float], loss: float | None, seconds: float) -> None:
        """Record the trainer's own validation, as the answer of the command that asked for one."""
        if loss is not None and (not metrics or self.run.spec.score == "loss"):
            metrics = {"loss": loss, **metrics}
        if not metrics:
            return
        run, asked = self.run, self.handed.take(e.ValidationRequested)
        run.validated(metrics, loss, seconds, asked[0].done if asked else None)
        for handed in asked[1:]:
            run.decline(handed, "a validation was asked for twice: the first one answers it")

    @while_open
    def end_epoch(self, epoch: int, seconds: float) -> None:
        """Record that `epoch` (from 0) is complete."""
        self.run.end_epoch(epoch, seconds)


def checkpoint_event(run: AttachedRun, path: Path | str, kind: str) -> e.CheckpointSaved:
    """Return the event of a trainer's checkpoint of the newest step."""
    run.settle()
    state = run.recorder.state
    loss = math.nan if state.loss is None else state.loss
    return e.CheckpointSaved(str(path), kind, loss, state.score, run.checkpointer.is_good(run.step))


def _word(
    run: AttachedRun, hooks: OptimizerHooks, todo: frozenset[type[Event]] = frozenset(), *, stop: bool = False
) -> RankWord:
    """Return what is in force in `run`, for the other processes, and what was handed to the trainer."""
    return RankWord(
        lr_scale=hooks.learning_rate.scale,
        lr_pin=hooks.learning_rate.pin,
        lr_reference=hooks.learning_rate.reference,
        clip=hooks.clip,
        knobs={name: knob.value for name, knob in run.recorder.state.knobs.items()},
        stop=stop,
        save=e.CheckpointRequested in todo,
        evaluate=e.ValidationRequested in todo,
    )


def _losses(update: Update) -> dict[str, float | Tensor]:
    """Return the step's loss: the sum over its batches, each of which the trainer has divided by their number."""
    if not update.losses:
        return {}
    total = sum(update.losses[1:], update.losses[0])
    return {"": total}


def _position(epoch: float) -> LoaderPosition:
    whole = math.floor(epoch)
    return LoaderPosition(whole, round((epoch - whole) * _PARTS_OF_EPOCH), _PARTS_OF_EPOCH)


def _newest_error() -> BaseException | None:
    """Return the exception that Python reported last: at exit, the one that ended the program."""
    return getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)

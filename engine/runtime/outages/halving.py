"""Undo a step that memory was not enough for, and train on with smaller batches and as many samples per update."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from engine.forensics.capture import random_state, set_random_state
from engine.protocol import commands as c
from engine.protocol.commands import GUARDIAN, Command, Request
from engine.protocol.decide import decide
from engine.protocol.events import AlertRaised, Status
from engine.protocol.state import RunState
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.commands.command_processor import CommandProcessor
from engine.runtime.outages.memory import MEMORY_ERRORS, OUT_OF_MEMORY, asked, is_out_of_memory
from engine.supervision.run_memory import Halved
from engine.training.train_state import TrainState

T = TypeVar("T")


class BatchHalver:
    """Halves the batch size and doubles accumulation if memory runs out in a step, which is then repeated.

    The same samples make the same updates, whichever the size of the batches. `settle` processes the reports of the
    steps before. `world` is the number of ranks, which share a batch.
    """

    def __init__(
        self,
        train_state: TrainState,
        checkpointer: Checkpointer,
        commands: CommandProcessor,
        settle: Callable[[], None],
        world: int = 1,
    ):
        self._train_state = train_state
        self._checkpointer = checkpointer
        self._recorder = checkpointer.recorder
        self._commands = commands
        self._settle = settle
        self._world = world
        self.begin()

    def begin(self) -> None:
        """Note the state before the next step."""
        self._start = self._train_state.position
        self._random = random_state(self._train_state.device)
        self._footing = self._train_state.train_step.footing()

    def attempt(self, work: Callable[[], T]) -> T | None:
        """Return the result of `work`, a part of a step; `None` if memory ran out, and the step was undone.

        Raises the error if no smaller batch is possible.
        """
        try:
            return work()
        except MEMORY_ERRORS as error:
            smaller = self._smaller() if is_out_of_memory(error) else None
            if smaller is None:
                raise
            text = str(error)
        # The error is gone here, and with it the frames that hold the tensors of the step.
        self._undo(smaller, text)
        return None

    def _smaller(self) -> tuple[int, int] | None:
        """Return a smaller batch size and its accumulation; `None` if there is none with as many samples per update."""
        state = self._recorder.state
        if state.batch_size <= self._world:
            return None
        parts = next(n for n in range(2, state.batch_size + 1) if state.batch_size % n == 0)
        size, accumulation = state.batch_size // parts, state.accumulation * parts
        outcomes = [decide(state, command) for command in _commands(size, accumulation)]
        return (size, accumulation) if all(found.status is Status.APPLIED for found in outcomes) else None

    def _undo(self, smaller: tuple[int, int], text: str) -> None:
        """Restore the state before the step, and propose the smaller batch."""
        train_step = self._train_state.train_step
        part = f"in {train_step.part}" if train_step.part else "while its data were prepared"
        gc.collect()  # an error may be in a cycle with the frames that it passed
        is_restored = self.restore()
        message = self._announce(smaller, part, text)
        if not is_restored:
            self._roll_back(text)
        self._propose(smaller, message)

    def restore(self) -> bool:
        """Restore the state before the step. Return False if an update has begun, or buffers of the task changed."""
        train_state = self._train_state
        is_restored = train_state.train_step.undo(self._footing)
        set_random_state(self._random, train_state.device)
        train_state.put_back(self._start, again=True)
        return is_restored

    def _announce(self, smaller: tuple[int, int], part: str, text: str) -> str:
        """Record that memory ran out, and what follows; return it in words."""
        self._settle()
        state = self._recorder.state
        message = f"out of memory at step {state.step + 1} {part}{asked(text)}: {_change(state, smaller)}"
        self._recorder.record_event(AlertRaised(OUT_OF_MEMORY, message, _remedy(state)))
        former = self._checkpointer.memory.halved
        self._checkpointer.memory.halved = Halved(
            at_step=state.step,
            former=(state.batch_size, state.accumulation),
            current=smaller,
            is_retried=former is not None and former.is_retried,
        )
        return message

    def _roll_back(self, text: str) -> None:
        """Roll back to the newest checkpoint: memory ran out in the midst of an update."""
        self._checkpointer.wait_for_checkpoints()
        names = self._recorder.state.checkpoints
        if not names:
            raise torch.OutOfMemoryError(text)
        done = self._checkpointer.rollback_to_good(names[-1])
        self._recorder.record_event(done, actor=GUARDIAN, reason="memory ran out in the midst of an update")
        self._checkpointer.settle_rollback()

    def observe(self) -> None:
        """Try the former batch size once more if it is time. Call it between two steps."""
        halved, every = self._checkpointer.memory.halved, self._checkpointer.config.guard.recovery.memory_retry_steps
        if halved is None or halved.is_retried or not every or self._commands.is_driven or self._commands.is_proposed:
            return
        state = self._recorder.state
        if (state.batch_size, state.accumulation) != halved.current:
            self._checkpointer.memory.halved = None  # a person has decided otherwise
        elif state.step >= halved.at_step + every:
            self._checkpointer.memory.halved = halved.retried()
            self._propose(halved.former, f"tried once more, {every} steps after memory ran out")

    def _propose(self, sizes: tuple[int, int], reason: str) -> None:
        self._commands.propose(Request(0, GUARDIAN, command, reason) for command in _commands(*sizes))


def _commands(batch_size: int, accumulation: int) -> tuple[Command, ...]:
    return c.SetBatchSize(batch_size), c.SetAccumulation(accumulation)


def _change(state: RunState, smaller: tuple[int, int]) -> str:
    size, accumulation = smaller
    return (
        f"batch size {state.batch_size} -> {size}, accumulation {state.accumulation} -> {accumulation}; "
        "samples per update stay"
    )


def _remedy(state: RunState) -> str:
    back = f"`set-batch-size {state.batch_size}` and `set-accumulation {state.accumulation}`"
    return f"free memory of the device, then {back}"

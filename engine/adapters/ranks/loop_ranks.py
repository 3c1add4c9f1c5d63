"""Several processes of one own loop: rank 0 records and decides, and all hold, stop and detach at the same step."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import nn

from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.survive import say
from engine.adapters.hooks.update_judge import num_processes
from engine.adapters.ranks.agreement import SideGroup, are_averaged, refuse_divided
from engine.adapters.ranks.follower_run import FollowerRun
from engine.adapters.ranks.own_parts import take_up_position_as
from engine.adapters.ranks.rank_replays import GatheredReplay, ReplayReports
from engine.adapters.ranks.rank_word import RankWord, word_in_force
from engine.adapters.ranks.rank_words import RankFaultError, RankWords
from engine.adapters.ranks.shared_checkpoints import SharedCheckpoints
from engine.adapters.replays.pending_replays import Repetition
from engine.adapters.run.attached_run import AttachedRun, TrainingStopped
from engine.adapters.run.knobs import KnobHandle
from engine.adapters.run.state.attached_state import AttachedState
from engine.errors import UserError

_LACKS: Final = "has not called Cockpit(...) within a minute: every process must call it, at the same place"


class LoopRanks:
    """The processes of one own loop, from one of them.

    `is_gone` is whether all have detached themselves, `fault` what this one has to complain of, `None` for nothing.
    """

    def __init__(self, models: Mapping[str, nn.Module], optimizers: Sequence[torch.optim.Optimizer]) -> None:
        refuse_divided(models, optimizers)
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.words = RankWords(self.rank, self.world, _LACKS)
        self.is_gone = False
        self.fault: Exception | None = None
        self._group = SideGroup()
        self._models, self._optimizers = models, optimizers
        self.checkpoints = SharedCheckpoints(self.words, self._group)
        self._num_knobs = 0
        self._reports = ReplayReports(self.words)

    def join(self, hooks: OptimizerHooks, live: AttachedState) -> None:
        """Let the hooks of all judge alike, and the checkpoints of rank 0 hold the parts of all."""
        hooks.stays_after_fault = True
        hooks.judges_losses = not are_averaged(self._models, self._optimizers)
        if hooks.judges_losses:
            hooks.agree = self._group.in_all
        live.num_ranks = self.world
        if self.rank == 0:
            live.on_restore = self.checkpoints.note_restored

    # --- begin ----------------------------------------------------------------------------

    def await_others(self) -> None:
        """Wait in rank 0 until all others have begun. Raises UserError if one cannot."""
        if complaint := self.words.await_others():
            raise UserError(complaint)

    def refuse(self, error: BaseException) -> None:
        """Let no process begin: all raise a UserError."""
        with suppress(Exception):
            told = error if isinstance(error, UserError) or self.rank else UserError(f"rank 0: {error!r}")
            self.words.refuse(told)

    def lead(self, run: AttachedRun, live: AttachedState) -> None:
        """Let the others begin, which wait for what is in force in `run`."""
        live.others = lambda: self.checkpoints.parts(run.step)
        run.on_look = lambda: self.look(run)
        try:
            self.words.say(self._word(run, live.hooks))
            self._group.share(str(run.directory))
            self.checkpoints.share_restored()
            self.checkpoints.pass_point(live, run.step)
        except BaseException as error:
            run.fail(error)
            raise

    def follow(self, run: FollowerRun, live: AttachedState) -> bool:
        """Begin with what is in force in rank 0. Return whether a checkpoint was restored. Raises UserError."""
        word = self.words.hear_first()
        if word.is_gone:
            raise UserError(word.refused or "rank 0 cannot begin")
        run.directory = type(run.directory)(self._group.share())
        if word.restore:
            payload = self.checkpoints.restore(live)
            take_up_position_as(live, self.rank, payload)
        run.obey(word)
        self.checkpoints.pass_point(live, run.step)
        return word.restore

    # --- at each boundary -----------------------------------------------------------------

    def pass_point(self, live: AttachedState, step: int) -> None:
        """Leave what a checkpoint has of this process; the program may have left the group of its processes before."""
        with suppress(Exception):
            self.checkpoints.pass_point(live, step)

    def boundary(self, run: AttachedRun | FollowerRun, live: AttachedState) -> bool:
        """Carry out commands where all hold. Return whether all held here. Raises TrainingStopped in all at a stop.

        Raises an error of the cockpit only after the other processes have got what they wait for.
        """
        if self.is_gone:
            return False
        is_held = self.words.open_next()
        try:
            if is_held:
                self.checkpoints.pass_point(live, run.step)
                if isinstance(run, AttachedRun):
                    self._decide(run, live)
                else:
                    self._obey(run, live)
        finally:
            if isinstance(run, AttachedRun) and not self.is_gone and (self.fault is not None or run.is_due):
                self.words.hold_next()
        return is_held

    def _decide(self, run: AttachedRun, live: AttachedState) -> None:
        stopped: TrainingStopped | None = None
        failed: Exception | None = None
        try:
            run.boundary()
        except TrainingStopped as stop:
            stopped = stop
        except Exception as error:  # the others wait for a word here
            failed = self.fault = error
        if self.fault is not None:
            self.words.say(RankWord(is_gone=True, stop=stopped is not None))
            self.is_gone = True
        else:
            self.words.say(self._word(run, live.hooks, stop=stopped is not None))
            self.checkpoints.share_restored()
        if failed is not None:
            raise failed
        if stopped is not None:
            raise stopped

    def _obey(self, run: FollowerRun, live: AttachedState) -> None:
        word = self.words.hear()
        self.is_gone = word.is_gone
        with suppress(Exception) if word.stop else nullcontext():
            if word.restore:
                self.checkpoints.restore(live)
            if not word.is_gone:
                run.obey(word)
        if word.stop:
            raise TrainingStopped

    def _word(self, run: AttachedRun, hooks: OptimizerHooks, *, stop: bool = False) -> RankWord:
        return replace(
            word_in_force(run, hooks),
            weights=dict(run.loss_weights),
            step=run.step,
            restore=self.checkpoints.is_restored,
            stop=stop,
        )

    # --- what the loop says ---------------------------------------------------------------

    def declare(self, handle: KnobHandle[Any], run: AttachedRun | FollowerRun) -> None:
        """Give a knob that all have declared the value of rank 0."""
        self._num_knobs += 1
        key = f"{self._num_knobs} {handle.name}"
        if isinstance(run, FollowerRun):
            run.add_knob(handle)
            handle.value = self.words.share_value(key, handle.value)
        else:
            self.words.share_value(key, handle())

    def look(self, run: AttachedRun) -> None:
        """Look, in the cockpit's thread of rank 0, whether another process has failed or complains.

        Raises RankFaultError for a complaint.
        """
        if not self.words.has_begun:
            return
        if failure := self.words.failure():
            self.fault = RankFaultError(failure)
            run.fail_with(failure)
        elif complaint := self.words.complaint():
            raise RankFaultError(complaint)

    def complain(self, error: Exception) -> None:
        """Tell the others of a fault of the cockpit in this process. All detach themselves later, at one step."""
        if self.fault is not None:
            return
        self.fault = error
        if self.rank:
            say(f"a fault of its own, the training goes on: {error!r}")
            self.words.complain(repr(error))

    # --- repetitions of a step ------------------------------------------------------------

    def add_replay(self, replay: Repetition, run: AttachedRun | FollowerRun) -> None:
        """Let rank 0 record what the repetitions of all processes find."""
        if isinstance(run, AttachedRun):
            run.replays.add(GatheredReplay(replay, self.words, self.words.boundary))
        else:
            self._reports.add(replay, self.words.boundary)

    def leave(self) -> None:
        """Let the others go on without the cockpit, if they have further steps."""
        self._reports.end()
        if self.rank == 0 and not self.is_gone:
            with suppress(Exception):
                self.words.let_go()
        self.is_gone = True


def refuse_in_all(error: BaseException) -> None:
    """Let no process of this training begin, before this one knows its networks: the others would wait for it."""
    if num_processes() > 1:
        LoopRanks({}, ()).refuse(error)


def ranks_of(models: Mapping[str, nn.Module], optimizers: Sequence[torch.optim.Optimizer]) -> LoopRanks | None:
    """Return the processes of this training, `None` if there is only this one. Raises UserError."""
    if num_processes() > 1:
        return LoopRanks(models, optimizers)
    if (started := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise UserError(
            f"this program was started as {started} processes, which are not connected: call "
            "torch.distributed.init_process_group() before Cockpit(...)"
        )
    return None

"""The run of an own loop: its beginning and its end."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import torch
from torch import nn

from engine.adapters.capabilities import LOOP
from engine.adapters.hooks import patches
from engine.adapters.hooks.gradients.parameter_names import ParameterNames
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.optimizers.wrapped_optimizers import updating
from engine.adapters.hooks.survive import Survive
from engine.adapters.loop_options import LoopOptions, OptionWords
from engine.adapters.ranks.follower_run import FollowerRun
from engine.adapters.ranks.loop_ranks import LoopRanks, ranks_of, refuse_in_all
from engine.adapters.replays.fork_replay import StepReplay
from engine.adapters.replays.network_replays import NetworkReplays
from engine.adapters.run.attached_run import AttachedRun, TrainingStopped
from engine.adapters.run.batches import by_name
from engine.adapters.run.loop_batches import LoopBatches
from engine.adapters.run.run_files import error_since, newest_error, program_of, say_recorded_in
from engine.adapters.run.settings import NoValidation, attached_config, leave_to_rank_0, run_directory
from engine.adapters.run.state.attached_state import AttachedState
from engine.adapters.steps.loop_numbers import LoopNumbers
from engine.errors import undone_by_error
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol.events import CheckpointDamaged
from engine.protocol.state import RunState
from engine.protocol.wire import state_from_text

_Parts = Any
"""A network, several, or several by name; likewise optimizers. `Any`: pyright cannot tell them apart at run time."""


class LoopRun:
    """Opens the run of an own loop, and ends it with the `with` block, with `close`, or with the program."""

    def __init__(self, model: _Parts, optimizer: _Parts, **options: Unpack[OptionWords]) -> None:
        chosen, models, optimizers = _checked(model, optimizer, options)
        self._ranks = ranks_of(models, optimizers)
        self._process = os.getpid()
        self._stopped = self._entered = False
        self._is_replay_due = self._is_settled = False
        self._earlier_error = newest_error()
        self._survive = Survive(self._detach)
        self._networks: NetworkReplays | None = None
        """Names faults where the loop's body cannot be repeated: on an accelerator."""
        self._weights: Mapping[str, float] = {}
        """The weights of the loss terms since the last command."""
        try:
            self._begin(chosen, models, optimizers)
        except BaseException as error:
            if self._ranks is not None:
                self._ranks.refuse(error)
            raise
        self._weights = self._run.loss_weights

    def _begin(
        self, chosen: LoopOptions, models: Mapping[str, nn.Module], optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        """Watch the training, and open its run, in rank 0 or follow it."""
        self._hooks = OptimizerHooks(ParameterNames(models), self._detach)
        if chosen.layers_every is not None:
            self._hooks.layers.measure_every(chosen.layers_every)
        for one in chain.from_iterable(map(updating, optimizers)):
            self._hooks.watch(one)
        self._live = AttachedState(models, self._hooks, chosen.stateful(optimizers), total=chosen.max_steps)
        self._checkpoint_every = chosen.checkpoint_every
        self._batches = LoopBatches(self._live)
        self._numbers = LoopNumbers(self._hooks)
        ranks = self._ranks
        self._replay = StepReplay(models)
        self._run: AttachedRun | FollowerRun
        if ranks is not None:
            ranks.join(self._hooks, self._live)
            if ranks.rank:
                self._run = FollowerRun(self._live, ranks.words)
                self._follow(ranks, self._run)
                return
            ranks.await_others()
        directory = run_directory(chosen.runs_dir, chosen.run, resume=chosen.resume)
        self._run = run = AttachedRun(directory, attached_config(chosen.checkpoint_every), self._live, NoValidation())
        self._open(run, chosen.first_state(directory.name, optimizers), chosen.config or {}, resume=chosen.resume)

    def _follow(self, ranks: LoopRanks, run: FollowerRun) -> None:
        """Take part in the run of rank 0."""
        leave_to_rank_0()
        patches.install(self._hooks)
        with undone_by_error(self._let_go):
            if ranks.follow(run, self._live):
                self._batches.resume()
        atexit.register(self._at_exit)

    def _open(self, run: AttachedRun, state: RunState, config: Mapping[str, Any], *, resume: bool) -> None:
        damaged: list[CheckpointDamaged] = []
        payload = self._live.load_newest(run.directory / CHECKPOINTS, damaged) if resume else None
        if payload is not None:
            state = state_from_text(payload["state"], state.spec)
        patches.install(self._hooks)
        described = {"adapter": LOOP.name, "program": program_of(), "config": config}
        with undone_by_error(self._let_go):
            run.open(state, described, payload)
            run.record(*damaged)
            if self._ranks is not None:
                run.on_fault = self._detach
                self._ranks.lead(run, self._live)
        if self._ranks is None and not self._replay.can_fork:
            self._networks = NetworkReplays(self._live.models, run, self._hooks)
        if payload is not None:
            self._batches.resume()
        else:
            with self._survive:  # a part of the program may have no state
                run.checkpoint("start")
        atexit.register(self._at_exit)
        say_recorded_in(run.directory)

    @property
    def step(self) -> int:
        """The number of optimizer steps done."""
        return self._run.step

    @property
    def directory(self) -> Path:
        """The directory of the run."""
        return self._run.directory

    @property
    def _is_over(self) -> bool:
        """Whether the cockpit has no part in the training any more; several processes end it together."""
        if self._ranks is None:
            return self._run.is_over
        return self._ranks.is_gone or self._stopped

    @property
    def _is_detached(self) -> bool:
        return self._is_over and not self._stopped

    @property
    def _is_copy(self) -> bool:
        """Whether this is a copy of the process, which the program has made: the run is not its own."""
        return os.getpid() != self._process

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, TrainingStopped):
            self._close()
            return True
        if error is None:
            self.close()
        elif not self._is_copy:
            self._failed(error)
        return False

    def _end_step(self) -> None:
        """Record an update that no further batch has followed."""

    def close(self) -> None:
        """End the run as complete, with a last checkpoint."""
        if self._is_copy:
            return
        self._end_step()
        if self._ranks is not None and not self._is_over:
            with suppress(Exception):  # the program may have left the group of its processes before
                self._ranks.checkpoints.pass_point(self._live, self.step)
        if self._networks is not None:
            self._networks.end()
        self._run.end("complete")
        self._close()

    def _failed(self, error: BaseException) -> None:
        self._end_step()
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._run.end("interrupted", checkpoint=not self._hooks.in_step)
        else:
            self._run.fail(error)
        self._close()

    def _close(self) -> None:
        self._stopped = True
        if self._ranks is not None:
            self._ranks.leave()
        self._let_go()
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        if self._is_copy:
            return
        # An interactive session goes on after errors of all kinds.
        if not hasattr(sys, "ps1") and (error := error_since(self._earlier_error)) is not None:
            self._failed(error)
            return
        self._end_step()
        self._run.end("ended with the program", checkpoint=not self._hooks.in_step)
        self._close()

    def _detach(self, error: Exception) -> None:
        if os.environ.get("TRAINING_COCKPIT_RAISE"):
            raise error
        if self._replay.is_rehearsal:  # a copy of the process has no part in the training
            return
        self._weights = {}
        if self._ranks is None or not self._ranks.words.has_begun:
            patches.remove(self._hooks)
            self._run.detach(error)
            return
        try:
            self._ranks.complain(error)
        except Exception:  # no way to the others
            self._ranks.is_gone = True
            self._let_go()
        if isinstance(self._run, AttachedRun):  # rate and clip stay in force until all let go
            self._run.detach(error, lets_go=False)

    def _let_go(self) -> None:
        """Remove what a detached cockpit has left: its own thread and the hooks of torch must not do it."""
        self._weights = {}
        patches.remove(self._hooks)
        self._hooks.remove()
        if self._networks is not None:
            self._networks.remove()


def _checked(
    model: _Parts, optimizer: _Parts, options: OptionWords
) -> tuple[LoopOptions, Mapping[str, nn.Module], Sequence[torch.optim.Optimizer]]:
    """Return the arguments of a loop. Raises UserError and TypeError, after the other processes are told."""
    try:
        optimizers = list(by_name(optimizer, torch.optim.Optimizer).values())
        return LoopOptions(**options).checked(), by_name(model, nn.Module), optimizers
    except BaseException as error:
        refuse_in_all(error)
        raise

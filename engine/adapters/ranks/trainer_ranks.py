"""Several processes of one trainer's training: rank 0 records and decides, and all let go at one boundary."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.survive import say
from engine.adapters.ranks.rank_word import RankWord, word_in_force
from engine.adapters.ranks.rank_words import RankFaultError, RankWords
from engine.adapters.run.attached_run import AttachedRun
from engine.errors import UserError
from engine.protocol import events as e
from engine.protocol.events import Event


class TrainerRanks:
    """The processes of one trainer's training, from one of them. `fault` is the cockpit's own here, `None` for none."""

    def __init__(self, rank: int, num_ranks: int) -> None:
        self.words = RankWords(rank, num_ranks)
        self.fault: Exception | None = None

    # --- begin ----------------------------------------------------------------------------

    def lead(self, run: AttachedRun, hooks: OptimizerHooks) -> None:
        """Let the others begin with what is in force in `run`. Raises RankFaultError if one cannot begin."""
        if complaint := self.words.await_others():
            raise RankFaultError(complaint)
        self.say(run, hooks)

    def follow(self) -> RankWord:
        """Return, in another rank, what is in force. Raises UserError, as in all ranks, if the run cannot begin."""
        word = self.words.hear_first()
        if word.refused:
            raise UserError(word.refused)
        return word

    def refuse(self, error: BaseException) -> None:
        """Let no process begin."""
        with suppress(Exception):
            self.words.refuse(error)

    # --- what rank 0 says -----------------------------------------------------------------

    def say(
        self,
        run: AttachedRun,
        hooks: OptimizerHooks,
        todo: frozenset[type[Event]] = frozenset(),
        *,
        stop: bool = False,
    ) -> None:
        """Tell the others what is in force in `run`, and what was handed to the trainer."""
        save, evaluate = e.CheckpointRequested in todo, e.ValidationRequested in todo
        self.words.say(replace(word_in_force(run, hooks), stop=stop, save=save, evaluate=evaluate))

    def let_go(self) -> None:
        """Let the others detach themselves if rank 0 has done so."""
        if self.words.is_first:
            with suppress(Exception):
                self.words.let_go()

    # --- faults ---------------------------------------------------------------------------

    def look(self) -> None:
        """Raise RankFaultError, in the cockpit's thread of rank 0, if another process complains."""
        if self.words.has_begun and (complaint := self.words.complaint()):
            raise RankFaultError(complaint)

    def complain(self, error: Exception) -> bool:
        """Note the first fault of the cockpit in this process, and tell rank 0. Return whether all detach together.

        They do unless there is no way to rank 0.
        """
        if self.fault is not None:
            return True
        self.fault = error
        if self.words.is_first:
            return True
        with suppress(Exception):
            say(f"a fault of its own, the training goes on: {error!r}")
            self.words.complain(repr(error))
            return True
        return False

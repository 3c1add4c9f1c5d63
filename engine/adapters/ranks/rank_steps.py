"""A step of an own loop in several processes: rank 0 records it, the others count it, and all repeat it or none."""

from __future__ import annotations

from collections.abc import Mapping

from engine.adapters.hooks.update import Update
from engine.adapters.ranks.follower_run import FollowerRun
from engine.adapters.ranks.rank_replays import share_due
from engine.adapters.ranks.rank_words import RankWords
from engine.adapters.replays.fork_replay import StepReplay
from engine.adapters.run.attached_run import AttachedRun
from engine.adapters.steps.loop_numbers import LoopNumbers


def note_step(
    update: Update,
    run: AttachedRun | FollowerRun,
    numbers: LoopNumbers,
    weights: Mapping[str, float],
    replay: StepReplay,
    words: RankWords,
) -> bool:
    """Record or count the step with this update, in all processes. Return whether `replay` is to repeat it."""
    is_due = False
    try:
        if isinstance(run, FollowerRun):
            run.step += 1
            numbers.drop()
        elif not run.is_over and run.add(numbers.reading(update, weights)):
            is_due = replay.can_fork and run.replays.is_due(update, run.step)
    finally:
        if update.is_skipped:  # in all processes, which wait for the word of rank 0
            is_due = share_due(words, is_due=is_due)
    return is_due

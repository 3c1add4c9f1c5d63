"""The run of an own loop in a process other than rank 0: it counts steps, and adopts what rank 0 has decided."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.adapters.hooks.survive import say
from engine.adapters.ranks.rank_word import RankWord
from engine.adapters.ranks.rank_words import RankWords
from engine.adapters.run.knobs import KnobHandle, KnobValue
from engine.adapters.run.state.attached_state import AttachedState
from engine.errors import in_words


class FollowerRun:
    """The run as a process sees it that does not record it: rank 0 does, in `directory`."""

    def __init__(self, live: AttachedState, words: RankWords) -> None:
        self.directory = Path()
        self.is_over = self.is_asked = False
        self.step = 0
        self.loss_weights: Mapping[str, float] = {}
        self._live, self._words = live, words
        self._values: Mapping[str, KnobValue] = {}
        self._knobs: list[KnobHandle[Any]] = []

    def obey(self, word: RankWord) -> None:
        """Bring into force what rank 0 has decided."""
        word.bring_into_force(self._live.hooks)
        self.step, self.loss_weights, self._values = word.step, word.weights, word.knobs
        for knob in self._knobs:
            self._adopt(knob)

    def add_knob(self, knob: KnobHandle[Any]) -> None:
        """Let rank 0 set `knob` from now on."""
        self._knobs.append(knob)
        self._adopt(knob)

    def _adopt(self, knob: KnobHandle[Any]) -> None:
        knob.value = self._values.get(knob.name, knob.value)

    # --- what rank 0 records ----------------------------------------------------------------

    def end(self, reason: str, *, checkpoint: bool = True) -> None:
        """Record nothing more."""
        self.is_over = True

    def fail(self, error: BaseException) -> None:
        """Let rank 0 record that the training raised `error` here, if there is a way to it."""
        with suppress(Exception):
            self._words.note_failure(in_words(error))

    def detach(self, error: Exception) -> None:
        """Say that the cockpit has a fault here, and record nothing more."""
        self.is_over = True
        say(f"detached after a fault of its own, the training goes on: {error!r}")

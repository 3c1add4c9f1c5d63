"""The filter of a list of runs: words, `key:value` pairs, and the conditions of `wait`, of which all must hold.

`base lr<=1e-5 phase:3 nan:yes`, `state:failed or alerts>0`, `not tag:baseline`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from cockpit.session.run_list.filter_conditions import SIGN, Test, begins_key, has_word, test_of, unquoted
from cockpit.session.run_list.listed_run import ListedRun
from engine.protocol.record import record

_WORD: Final = re.compile(r"""[^\s"']*(?:"[^"]*"|'[^']*')[^\s"']*|\S+""")


@record
class RunFilter:
    """What the user typed: alternatives, each with its tests and its words. No alternative matches every run.

    `unfinished` is the last word if no blank follows it: it may become the key of a condition.
    """

    text: str = ""
    unfinished: str = ""
    alternatives: tuple[tuple[tuple[Test, ...], tuple[str, ...]], ...] = ()

    def of(self, runs: Sequence[ListedRun]) -> list[ListedRun]:
        """Return the runs that match, in their order.

        A word is found as it is in a name, tag, note, task or state. If no run has it, the runs are taken that have
        its letters in that order in their name or a tag.
        """
        if not self.alternatives:
            return list(runs)
        found: set[str] = set()
        for tests, words in self.alternatives:
            kept = [run for run in runs if all(test(run) for test in tests)]
            for word in words:
                found_words = _with_word(kept, word)
                kept = kept if not found_words and word == self.unfinished and begins_key(word) else found_words
            found.update(run.name for run in kept)
        return [run for run in runs if run.name in found]


def parse_filter(text: str) -> RunFilter:
    """Return the filter that `text` spells. Raises UserError, with the nearest name, for a condition that is none."""
    alternatives: list[list[Test | str]] = [[]]
    is_negated = False
    for part in _WORD.findall(SIGN.sub(r"\1", text.strip())):
        if part == "or":
            alternatives.append([])
        elif part == "not":
            is_negated = not is_negated
        elif part != "and":
            test = _opposite(test_of(part) or _holds(part)) if is_negated else test_of(part)
            alternatives[-1].append(test or unquoted(part).casefold())
            is_negated = False
    last = _WORD.findall(text)[-1:] if text and not text[-1].isspace() else []
    return RunFilter(text, "".join(last).casefold(), tuple(map(_divided, filter(None, alternatives))))


def _divided(parts: Sequence[Test | str]) -> tuple[tuple[Test, ...], tuple[str, ...]]:
    """Return the tests and the words of an alternative."""
    words = tuple(part for part in parts if isinstance(part, str))
    return tuple(part for part in parts if not isinstance(part, str)), words


def _with_word(runs: Sequence[ListedRun], word: str) -> list[ListedRun]:
    exact = [run for run in runs if has_word(run, word)]
    return exact or [run for run in runs if any(_has_letters(text, word) for text in (run.name, *run.labels.tags))]


def _has_letters(text: str, word: str) -> bool:
    """Return whether `text` has the letters of `word` in their order."""
    letters = iter(text.casefold())
    return all(letter in letters for letter in word)


def _holds(part: str) -> Test:
    word = unquoted(part).casefold()
    return lambda run: has_word(run, word)


def _opposite(test: Test) -> Test:
    return lambda run: not test(run)

"""The filter of a list of runs: words, `key:value` pairs, and the conditions of `wait`, of which all must hold.

`base lr<=1e-5 phase:3 nan:yes`, `state:failed or alerts>0`, `not tag:baseline`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from cockpit.session.run_list.listed_run import ListedRun, parent_of
from engine.errors import UserError, did_you_mean
from engine.protocol.conditions.condition import STATE_NAMES, Condition, Quantity, Value
from engine.protocol.conditions.syntax import parse_condition
from engine.protocol.record import record

Test = Callable[[ListedRun], bool]

_SIGN: Final = re.compile(r"\s*(<=|>=|==|!=|<|>|=)\s*")
_WORD: Final = re.compile(r"""[^\s"']*(?:"[^"]*"|'[^']*')[^\s"']*|\S+""")
_YES: Final = ("yes", "on", "true")
_NO: Final = ("no", "off", "false")


class _Moment:
    """A listed run as a condition sees it."""

    def __init__(self, run: ListedRun) -> None:
        self._run = run

    def value(self, quantity: Quantity) -> Value:
        """Return the value of `quantity`; `None` if it is not known."""
        facts = self._run.facts
        if facts is None:
            return None
        if quantity.name == "activity":
            return self._run.state
        values: Mapping[str, Value] = {
            "step": facts.step,
            "epoch": facts.epoch,
            "phase": None if facts.program else facts.phase,
            "loss": facts.loss,
            "grad_norm": facts.grad_norm,
            "lr": facts.lr,
            "score": facts.score,
            "best": facts.best,
            "nan": facts.skipped,
            "alerts": facts.alerts,
            "spikes": facts.spikes,
        }
        return values.get(quantity.name)


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
                kept = kept if not found_words and word == self.unfinished and _begins_key(word) else found_words
            found.update(run.name for run in kept)
        return [run for run in runs if run.name in found]


def parse_filter(text: str) -> RunFilter:
    """Return the filter that `text` spells. Raises UserError, with the nearest name, for a condition that is none."""
    alternatives: list[tuple[tuple[Test, ...], tuple[str, ...]]] = []
    tests: list[Test] = []
    words: list[str] = []
    is_negated = False
    for part in (*_WORD.findall(_SIGN.sub(r"\1", text.strip())), "or"):
        if part == "or":
            if tests or words:
                alternatives.append((tuple(tests), tuple(words)))
            tests, words = [], []
        elif part == "not":
            is_negated = not is_negated
        elif part != "and":
            test = _test_of(part)
            if is_negated:
                tests.append(_opposite(test or _holds(part)))
            elif test is not None:
                tests.append(test)
            else:
                words.append(_unquoted(part).casefold())
            is_negated = False
    last = _WORD.findall(text)[-1:] if text and not text[-1].isspace() else []
    return RunFilter(text, "".join(last).casefold(), tuple(alternatives))


def _test_of(part: str) -> Test | None:
    """Return the test that one part spells; `None` for a word. Raises UserError."""
    if _SIGN.search(part) and part[0] not in "\"'":
        return _condition(part)
    key, colon, value = part.partition(":")
    if not colon or not key or part[0] in "\"'":
        return None
    value = _unquoted(value).casefold()
    if key in _KEYS:
        return _KEYS[key](value)
    if key in STATE_NAMES:
        return _quantity(key, value)
    raise UserError(f"there is no {key!r}: {did_you_mean(key, (*_KEYS, *STATE_NAMES))}")


def _condition(part: str) -> Test:
    condition = parse_condition(re.sub(r"(?<![<>=!])=(?!=)", "==", part))
    if (metrics := condition.metrics()) != ():
        raise UserError(f"a list of runs does not know {metrics[0]!r}: {did_you_mean(metrics[0], STATE_NAMES)}")
    return _meets(condition)


def _meets(condition: Condition) -> Test:
    return lambda run: condition.holds(_Moment(run))


def _quantity(key: str, value: str) -> Test:
    """Return the test of `phase:3`, or of `nan:yes`, which means more than none. Raises UserError."""
    if value in _YES or value in _NO:
        return _meets(parse_condition(f"{key}>0" if value in _YES else f"{key}==0"))
    try:
        float(value)
    except ValueError:
        raise UserError(f"{key}:{value} is not understood: write a number, yes or no after {key}:") from None
    return _meets(parse_condition(f"{key}=={value}"))


def _state(value: str) -> Test:
    """Return the test for a state or its beginning; 'live' is any run that a process writes."""
    if value == "live":
        return lambda run: run.is_live
    return lambda run: run.state.startswith(value)


def _tag(value: str) -> Test:
    return lambda run: any(tag.casefold() == value for tag in run.labels.tags)


def _parent(value: str) -> Test:
    def test(run: ListedRun) -> bool:
        link = parent_of(run)
        return link is not None and value in link[0].casefold()

    return test


def _contains(text_of: Callable[[ListedRun], str]) -> Callable[[str], Test]:
    return lambda value: lambda run: value in text_of(run).casefold()


_KEYS: Final[Mapping[str, Callable[[str], Test]]] = {
    "state": _state,
    "tag": _tag,
    "name": _contains(lambda run: run.name),
    "note": _contains(lambda run: run.labels.note),
    "task": _contains(lambda run: "" if run.facts is None else run.facts.task or run.facts.program),
    "parent": _parent,
}
"""The keys of pairs that are no quantities of a run, each with the test for a value in lower case."""


def _begins_key(word: str) -> bool:
    return any(key.startswith(word) for key in (*_KEYS, *STATE_NAMES))


def _with_word(runs: Sequence[ListedRun], word: str) -> list[ListedRun]:
    exact = [run for run in runs if _has(run, word)]
    return exact or [run for run in runs if any(_has_letters(text, word) for text in (run.name, *run.labels.tags))]


def _has(run: ListedRun, word: str) -> bool:
    return any(word in text.casefold() for text in _texts(run))


def _texts(run: ListedRun) -> Iterable[str]:
    facts = run.facts
    task = () if facts is None else (facts.task, facts.program)
    return run.name, *run.labels.tags, run.labels.note, run.state, *task


def _has_letters(text: str, word: str) -> bool:
    """Return whether `text` has the letters of `word` in their order."""
    letters = iter(text.casefold())
    return all(letter in letters for letter in word)


def _holds(part: str) -> Test:
    word = _unquoted(part).casefold()
    return lambda run: _has(run, word)


def _opposite(test: Test) -> Test:
    return lambda run: not test(run)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text

"""The conditions in a filter of runs, as tests of a run: `lr<=1e-5`, `phase:3`, `tag:baseline`, or a word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from cockpit.session.run_list.facts import STOPPED
from cockpit.session.run_list.listed_run import ListedRun, parent_of
from engine.errors import UserError, did_you_mean
from engine.protocol.conditions.condition import Condition
from engine.protocol.conditions.moment import STATE_NAMES, Quantity, Value
from engine.protocol.conditions.syntax import parse_condition
from engine.protocol.events import Activity

Test = Callable[[ListedRun], bool]


SIGN: Final = re.compile(r"\s*(<=|>=|==|!=|<|>|=)\s*")


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
            return Activity.FINISHED.value if self._run.state == STOPPED else self._run.state
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


def test_of(part: str) -> Test | None:
    """Return the test that one part spells; `None` for a word. Raises UserError."""
    if SIGN.search(part) and part[0] not in "\"'":
        return _condition(part)
    key, colon, value = part.partition(":")
    if not colon or not key or part[0] in "\"'":
        return None
    value = unquoted(value).casefold()
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


def begins_key(word: str) -> bool:
    """Return whether a word may become the key of a condition."""
    return any(key.startswith(word) for key in (*_KEYS, *STATE_NAMES))


def has_word(run: ListedRun, word: str) -> bool:
    """Return whether a text of the run contains a word."""
    return any(word in text.casefold() for text in _texts(run))


def _texts(run: ListedRun) -> Iterable[str]:
    facts = run.facts
    task = () if facts is None else (facts.task, facts.program)
    return run.name, *run.labels.tags, run.labels.note, run.state, *task


def unquoted(text: str) -> str:
    """Return a text without the quotation marks around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text

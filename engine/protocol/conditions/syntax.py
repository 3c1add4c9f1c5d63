"""Parse conditions: names, comparisons, `and`, `or`, `not` and parentheses; every mistake is one sentence."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from engine.errors import UserError, did_you_mean, nearest
from engine.protocol.conditions.condition import Condition
from engine.protocol.conditions.moment import STATE_NAMES, Quantity
from engine.protocol.conditions.parts import Both, Either, Negation, Node, comparison_of
from engine.protocol.conditions.tokens import END, EXAMPLE, Token, shown, tokens_of
from engine.protocol.events import Activity
from engine.protocol.task_spec import TaskSpec

ROW_NAMES: Final = ("samples_per_second", "data_wait", "skipped")
"""Metrics without a slash that the engine records at each step, in addition to `lr`."""

_MOST_LETTERS: Final = 1_000
_MOST_NESTED: Final = 50
_WORDS: Final = ("and", "or", "not")
_ACTIVITY: Final = Quantity("activity")


def parse_condition(text: str, metrics: Collection[str] | None = None) -> Condition:
    """Return the condition that `text` spells.

    `metrics` are the recorded metrics; with `None` they are unknown yet, and any name with a slash or in quotes is
    taken for one. Raises UserError with the place of the mistake, or with the nearest name.
    """
    if len(text) > _MOST_LETTERS:
        raise UserError(f"a condition has at most {_MOST_LETTERS} letters, not {len(text)}")
    condition = Condition(text, _Reader(text).read())
    if metrics is not None:
        check_metrics(condition, metrics)
        return condition
    known = (*STATE_NAMES, *ROW_NAMES)
    plain = (q.name for q in condition.root.quantities() if not q.is_metric and "/" not in q.name)
    unknown = next((name for name in plain if name not in known), None)
    if unknown is not None:
        raise UserError(f"{shown(text)}: there is no {unknown!r}: {did_you_mean(unknown, known)}")
    return condition


def check_metrics(condition: Condition, metrics: Collection[str]) -> None:
    """Raise UserError for the first metric in `condition` that is not in `metrics`, with the nearest name."""
    unknown = next((name for name in condition.metrics() if name not in metrics), None)
    if unknown is None:
        return
    if unknown in STATE_NAMES:
        raise UserError(f"{shown(condition.text)}: no metric is called {unknown!r}: write it without quotes")
    match = nearest(unknown, (*STATE_NAMES, *metrics))
    hint = f"did you mean {match!r}?" if match else f"there are {', '.join(STATE_NAMES)} and the run's metrics"
    raise UserError(f"{shown(condition.text)}: there is no {unknown!r}: {hint}")


def metrics_of(spec: TaskSpec) -> frozenset[str]:
    """Return the metrics that runs of the task record sooner or later, as far as its spec names them."""
    terms = {f"{kind}/{term}" for term in spec.term_names for kind in ("loss", "loss_raw", "clamp_hits", "val/loss")}
    return frozenset(terms | {"val/loss"} | {f"val/{metric.name}" for metric in spec.metrics})


class _Reader:
    """Reads one condition from left to right, with one token of lookahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [*tokens_of(text), END]
        self._at = 0

    def read(self) -> Node:
        """Return the whole condition. Raises UserError."""
        root = self._either(0)
        if self._next is not END:
            raise self._mistake(f"{self._next.text!r} is too much")
        return root

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += token is not END
        return token

    def _is(self, text: str) -> bool:
        """Take the next token if it is that word or parenthesis."""
        is_it = self._next.kind in ("name", "paren") and self._next.text == text
        self._at += is_it
        return is_it

    def _either(self, depth: int) -> Node:
        if depth > _MOST_NESTED:
            raise self._mistake(f"more than {_MOST_NESTED} parts are nested")
        parts = [self._both(depth)]
        while self._is("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self, depth: int) -> Node:
        parts = [self._part(depth)]
        while self._is("and"):
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _part(self, depth: int) -> Node:
        if depth > _MOST_NESTED:
            raise self._mistake(f"more than {_MOST_NESTED} parts are nested")
        if self._is("not"):
            return Negation(self._part(depth + 1))
        if not self._is("("):
            return self._comparisons()
        inner = self._either(depth + 1)
        if not self._is(")"):
            raise self._mistake("a parenthesis is not closed")
        return inner

    def _comparisons(self) -> Node:
        """Read `loss<2`, or a chain such as `0<loss<2`."""
        sides, signs = [self._side()], list[str]()
        while self._next.kind == "sign":
            signs.append(self._take().text)
            sides.append(self._side())
        if not signs:
            raise self._mistake(f"{sides[0].text!r} is compared with nothing")
        pairs = zip(sides, signs, sides[1:], strict=False)
        parts = tuple(self._compared(left, sign, right) for left, sign, right in pairs)
        return parts[0] if len(parts) == 1 else Both(parts)

    def _side(self) -> Token:
        token = self._take()
        if token.kind not in ("number", "name", "quoted") or token.text in _WORDS:
            raise self._mistake(
                f"a name or a number is missing {f'before {token.text!r}' if token.text else 'at the end'}"
            )
        return token

    def _compared(self, left: Token, sign: str, right: Token) -> Node:
        if _ACTIVITY.name in (left.text, right.text):
            word = right if left.text == _ACTIVITY.name else left
            return comparison_of(_ACTIVITY, sign, self._activity(word, sign))
        first, second = _operand(left), _operand(right)
        if not isinstance(first, Quantity) and not isinstance(second, Quantity):
            raise self._mistake(f"{left.text}{sign}{right.text} compares two numbers")
        return comparison_of(first, sign, second)

    def _activity(self, word: Token, sign: str) -> str:
        activities, text = tuple(map(str, Activity)), word.text.strip("\"'")
        if sign not in ("==", "!="):
            raise self._mistake(f"activity is compared by == or !=, not {sign}")
        if text not in activities:
            raise self._mistake(f"there is no activity {text!r}", did_you_mean(text, activities))
        return text

    def _mistake(self, problem: str, remedy: str = EXAMPLE) -> UserError:
        return UserError(f"{shown(self._text)}: {problem}: {remedy}")


def _operand(token: Token) -> Quantity | float:
    if token.kind == "number":
        return float(token.text)
    return Quantity(token.text[1:-1], is_metric=True) if token.kind == "quoted" else Quantity(token.text)

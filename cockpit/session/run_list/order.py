"""The order of a list of runs: sorted by a column, with the branches of a run below it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from cockpit.session.run_list.facts import RunFacts
from cockpit.session.run_list.listed_run import ListedRun, parent_of
from engine.protocol.record import record

Key = float | str | None
"""The value to sort by; `None` comes last in either direction."""


@record
class SortColumn:
    """A column to sort by; `descending` is its usual direction."""

    name: str
    key: Callable[[ListedRun], Key]
    descending: bool = False


@record
class TreeRow:
    """A run in its place: `depth` runs above it lead to it.

    `left_at` is the step at which it left its parent, `None` if its parent is not above it.
    """

    run: ListedRun
    depth: int = 0
    left_at: int | None = None


def _fact(value: Callable[[RunFacts], Key]) -> Callable[[ListedRun], Key]:
    return lambda run: None if run.facts is None else value(run.facts)


def _best(facts: RunFacts) -> Key:
    """Return a number that is larger for a better score."""
    return facts.best if facts.best is None or not facts.lower_is_better else -facts.best


SORT_COLUMNS: Final = (
    SortColumn("started", lambda run: run.started or None, descending=True),
    SortColumn("run", lambda run: run.name),
    SortColumn("state", lambda run: run.state or None),
    SortColumn("phase", _fact(lambda facts: facts.phase), descending=True),
    SortColumn("best", _fact(_best), descending=True),
    SortColumn("alerts", _fact(lambda facts: facts.alerts), descending=True),
    SortColumn("step", _fact(lambda facts: facts.step), descending=True),
    SortColumn("lr", _fact(lambda facts: facts.lr), descending=True),
    SortColumn("ended", lambda run: run.ended or None, descending=True),
)
"""The columns in the order in which one key goes through them."""


def in_order(runs: Iterable[ListedRun], column: SortColumn, *, reverse: bool = False) -> list[ListedRun]:
    """Return the runs sorted by `column`, those of equal value by their start and name."""
    usual = sorted(runs, key=lambda run: (-run.started, run.name))
    known = [run for run in usual if _is_known(column.key(run))]
    unknown = [run for run in usual if not _is_known(column.key(run))]
    # `Any` order: one column has either numbers or texts.
    known.sort(key=column.key, reverse=column.descending != reverse)  # type: ignore[arg-type, return-value]
    return known + unknown


def _is_known(key: Key) -> bool:
    return key is not None and not (isinstance(key, float) and math.isnan(key))  # NaN has no place in an order


def as_tree(runs: Sequence[ListedRun], all_runs: Mapping[str, ListedRun]) -> list[TreeRow]:
    """Return `runs` with each branch below its parent, siblings in the given order.

    A run whose parent is not among `runs` is at the top. `all_runs` resolve the former names of renamed parents.
    """
    shown = {run.name: run for run in runs}
    renamed = _renamed(all_runs)
    children: dict[str, list[tuple[ListedRun, int]]] = {}
    tops: list[ListedRun] = []
    for run in runs:
        link = _link(run, all_runs, renamed)
        if link is None or link[0] not in shown or _is_below(link[0], run.name, all_runs, renamed):
            tops.append(run)
        else:
            children.setdefault(link[0], []).append((run, link[1]))
    rows: list[TreeRow] = []
    waiting = [TreeRow(run) for run in reversed(tops)]
    while waiting:
        row = waiting.pop()
        rows.append(row)
        below = reversed(children.get(row.run.name, []))
        waiting += [TreeRow(child, row.depth + 1, left_at=step) for child, step in below]
    return rows


def present_parent(run: ListedRun, all_runs: Mapping[str, ListedRun]) -> tuple[str, int] | None:
    """Return the present name of a run's parent and the step at which the run left it; `None` without a parent."""
    return None if parent_of(run) is None else _link(run, all_runs, _renamed(all_runs))


def _renamed(all_runs: Mapping[str, ListedRun]) -> dict[str, str]:
    return {former: run.name for run in all_runs.values() for former in run.labels.formerly}


def _link(run: ListedRun, all_runs: Mapping[str, ListedRun], renamed: Mapping[str, str]) -> tuple[str, int] | None:
    """Return the present name of a run's parent and the step; `None` without a parent.

    A younger run that took the former name of the parent is not the parent.
    """
    link = parent_of(run)
    if link is None:
        return None
    name, step = link
    namesake = all_runs.get(name)
    is_younger = namesake is not None and _began(namesake) > _began(run)
    return (renamed[name] if name in renamed and (namesake is None or is_younger) else name), step


def _began(run: ListedRun) -> float:
    return 0.0 if run.facts is None else run.facts.began


def _is_below(name: str, ancestor: str, all_runs: Mapping[str, ListedRun], renamed: Mapping[str, str]) -> bool:
    """Return whether the run `name` descends from `ancestor`, or from itself, so that a link would close a circle."""
    seen: set[str] = set()
    while name in all_runs and name not in seen:
        if name == ancestor:
            return True
        seen.add(name)
        link = _link(all_runs[name], all_runs, renamed)
        if link is None:
            return False
        name = link[0]
    return name in seen

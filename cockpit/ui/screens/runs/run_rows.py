"""The rows of the list of runs: filtered, sorted, as a tree, with a cursor and marks that stay on their runs."""

from __future__ import annotations

from collections.abc import Iterable

from cockpit.session.run_list.filter import RunFilter, parse_filter
from cockpit.session.run_list.listed_run import ListedRun, parent_of
from cockpit.session.run_list.order import SORT_COLUMNS, SortColumn, TreeRow, as_tree, in_order, present_parent
from cockpit.session.run_list.watcher import RunListing


class RunRows:
    """The runs of a listing in the order of the screen; `marked` holds the names of marked runs."""

    def __init__(self) -> None:
        self.shown: list[TreeRow] = []
        self.marked: set[str] = set()
        self.column: SortColumn = SORT_COLUMNS[0]
        self.is_reversed = False
        self._listing = RunListing()
        self._filter = RunFilter()
        self._at = ""
        self._place = 0

    @property
    def is_empty(self) -> bool:
        """Whether the directory has no runs."""
        return not self._listing.rows

    @property
    def cursor(self) -> int:
        """The number of the row under the cursor, -1 without rows."""
        return self._place if self.shown else -1

    @property
    def current(self) -> ListedRun | None:
        """The run under the cursor; `None` without rows."""
        return self.shown[self._place].run if self.shown else None

    @property
    def counts(self) -> str:
        """How many runs there are, are live, shown, marked and not read yet, and by what they are sorted."""
        rows = self._listing.rows
        num_live = sum(run.is_live for run in rows.values())
        parts = [f"{len(rows)} run{'' if len(rows) == 1 else 's'}"]
        parts += [f"{num_live} live"] if num_live else []
        parts += [f"{len(self.shown)} shown"] if self._filter.alternatives else []
        parts += [f"{len(self.marked)} marked"] if self.marked else []
        parts += [f"reading {self._listing.unread} more"] if self._listing.unread else []
        return f"{', '.join(parts)}, by {self.column.name}"

    def names(self, numbers: Iterable[int]) -> list[str]:
        """Return the names of the runs in these rows."""
        return [self.shown[number].run.name for number in numbers if number < len(self.shown)]

    def take(self, listing: RunListing) -> bool:
        """Take another listing; return whether it is one."""
        if listing is self._listing:
            return False
        self._listing = listing
        self.marked &= listing.rows.keys()
        self._arrange()
        return True

    def filter(self, text: str) -> None:
        """Show the runs that match `text`. Raises UserError."""
        self._filter = parse_filter(text)
        self._arrange()

    def sort(self, *, reverse: bool) -> None:
        """Sort by the next column, or with `reverse` in the other direction."""
        if reverse:
            self.is_reversed = not self.is_reversed
        else:
            self.column = SORT_COLUMNS[(SORT_COLUMNS.index(self.column) + 1) % len(SORT_COLUMNS)]
            self.is_reversed = False
        self._arrange()

    def sort_by(self, name: str) -> None:
        """Sort by the column `name`, or in the other direction if it sorts already."""
        if name == self.column.name:
            self.is_reversed = not self.is_reversed
        else:
            self.column = next(column for column in SORT_COLUMNS if column.name == name)
            self.is_reversed = False
        self._arrange()

    def go_to(self, number: int) -> None:
        """Put the cursor on a row."""
        if 0 <= number < len(self.shown):
            self._place, self._at = number, self.shown[number].run.name

    def select(self, name: str) -> None:
        """Put the cursor on the run `name`, also if its row is still to come."""
        self._at = name
        self._arrange()

    def mark(self) -> None:
        """Mark the run under the cursor, or unmark it, and go to the next one."""
        if (run := self.current) is not None:
            self.marked ^= {run.name}
            self.go_to(min(self._place + 1, len(self.shown) - 1))

    def marked_runs(self) -> list[ListedRun]:
        """Return the marked runs in the order of the list, those that the filter hides last."""
        shown = [row.run for row in self.shown if row.run.name in self.marked]
        names = {run.name for run in shown}
        return shown + [run for name, run in self._listing.rows.items() if name in self.marked - names]

    def present_parent(self, run: ListedRun) -> tuple[str, int] | None:
        """Return the present name of the run that `run` continues, and the step; `None` without one."""
        return present_parent(run, self._listing.rows)

    def num_branches(self, run: ListedRun) -> int:
        """Return the number of runs that continue `run`."""
        names = {run.name, *run.labels.formerly}
        links = map(parent_of, self._listing.rows.values())
        return sum(link is not None and link[0] in names for link in links)

    def follow(self, former: str, name: str) -> None:
        """Keep cursor and mark on a run that was renamed."""
        if former in self.marked:
            self.marked = (self.marked - {former}) | {name}
        if self._at == former:
            self._at = name

    def _arrange(self) -> None:
        """Arrange the rows again; the cursor stays on its run, or on its place if that is gone."""
        runs = in_order(self._listing.rows.values(), self.column, reverse=self.is_reversed)
        self.shown = as_tree(self._filter.of(runs), self._listing.rows)
        found = next((number for number, row in enumerate(self.shown) if row.run.name == self._at), None)
        self._place = min(self._place, max(len(self.shown) - 1, 0)) if found is None else found
        if self.shown and self._at not in self._listing.rows:
            self._at = self.shown[self._place].run.name

"""The columns of the list of runs: as many as fit the width, and the line of a run in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from textual.content import Content

from cockpit.session.run_list.listed_run import ListedRun
from cockpit.session.run_list.order import SortColumn, TreeRow
from cockpit.text.format import escape_control
from cockpit.ui.panels.toolkit.symbols import ACTIVE, LABEL, STRONG, WARN, Symbols
from cockpit.ui.screens.runs import cells
from cockpit.ui.screens.runs.cells import CellContext
from engine.protocol.record import record

Cell = Callable[[TreeRow, CellContext, int], Content]
"""Makes the cell of a row in a width."""


@record
class Column:
    """A column of at least `width` cells. Of those that do not fit, the ones of the highest `rank` are left out.

    `grow` is its share of the width that is left over. `sort` is the name of the column that a click sorts by.
    """

    title: str
    width: int
    cell: Cell
    rank: int = 0
    grow: int = 0
    right: bool = False
    sort: str = ""


COLUMNS: Final = (
    Column("  run", 20, cells.name, grow=3, sort="run"),
    Column("state", 12, cells.state, sort="state"),
    Column("phase", 6, cells.phase, rank=1, right=True, sort="phase"),
    Column("step", 13, cells.step, rank=3, right=True, sort="step"),
    Column("best", 7, cells.best, right=True, sort="best"),
    Column("lr", 8, cells.lr, rank=4, right=True, sort="lr"),
    Column("alerts", 7, cells.alerts, right=True, sort="alerts"),
    Column("loss", 8, cells.curve, rank=1, grow=1),
    Column("started", 8, cells.started, right=True, sort="started"),
    Column("ended", 6, cells.ended, rank=2, right=True, sort="ended"),
    Column("tags", 12, cells.tags, rank=5, grow=1),
    Column("task", 10, cells.task, rank=7),
    Column("note", 16, cells.note, rank=6, grow=3),
)
"""All columns from left to right."""

_ROOMY: Final = 100
"""Width from which columns are two cells apart."""


@record
class Layout:
    """Columns with the width of each, for one width of the list."""

    columns: tuple[tuple[Column, int], ...]
    gap: Content

    def line(self, row: TreeRow, context: CellContext) -> Content:
        """Return the line of a run."""
        return self.gap.join(
            [_fitted(column.cell(row, context, width), column, width) for column, width in self.columns]
        )

    def head(self, by: SortColumn, *, reverse: bool, signs: Symbols) -> Content:
        """Return the titles; the column that sorts has an arrow, and a click on a title sorts by it."""
        is_down = by.descending != reverse
        arrow = ("v" if is_down else "^") if signs.dots == "..." else ("▾" if is_down else "▴")
        titles = (
            (_title(column, arrow if column.sort == by.name else ""), column, width) for column, width in self.columns
        )
        return self.gap.join([_fitted(*title) for title in titles])


def layout_of(width: int) -> Layout:
    """Return the columns that fit into `width` cells; the rest of the width is shared among those that grow."""
    gap = 1 if width < _ROOMY else 2
    chosen = list(COLUMNS)
    while (last := max(column.rank for column in chosen)) and _needed(chosen, gap) > width:
        chosen = [column for column in chosen if column.rank != last]
    left = max(width - _needed(chosen, gap), 0)
    shares = sum(column.grow for column in chosen)
    widths = [column.width + left * column.grow // shares for column in chosen]
    widths[0] += left - (sum(widths) - sum(column.width for column in chosen))
    return Layout(tuple(zip(chosen, widths, strict=True)), Content(" " * gap))


def _title(column: Column, arrow: str) -> Content:
    """Return the title of a column; the one that sorts has an arrow."""
    styled = (
        Content.styled(f"{column.title}{arrow}", f"{ACTIVE} bold") if arrow else Content.styled(column.title, LABEL)
    )
    return styled.stylize(f"@click=screen.sort_by('{column.sort}')") if column.sort else styled


def _needed(columns: Sequence[Column], gap: int) -> int:
    return sum(column.width for column in columns) + gap * (len(columns) - 1)


def _fitted(content: Content, column: Column, width: int) -> Content:
    """Return a cell in exactly `width` cells, cut with an ellipsis."""
    if content.cell_length > width:
        content = content.truncate(width, ellipsis=True)
    blank = Content(" " * max(width - content.cell_length, 0))
    return blank + content if column.right else content + blank


def detail_of(run: ListedRun, parent: tuple[str, int] | None = None) -> list[Content]:
    """Return what a row has no room for: the whole name with its tags, origin and note, and why it is as it is.

    `parent` is the present name of the run that it continues, and the step at which it left that run.
    """
    facts = run.facts
    parts = [Content.styled(escape_control(run.name), STRONG)]
    if run.labels.tags:
        parts.append(Content.styled(escape_control(" ".join(run.labels.tags)), ACTIVE))
    if parent is not None:
        parts.append(Content.styled(escape_control(f"from {parent[0]} at step {parent[1]}"), LABEL))
    if run.labels.formerly:
        parts.append(Content.styled(escape_control(f"formerly {', '.join(run.labels.formerly)}"), LABEL))
    if facts is not None and (facts.program or facts.task):
        parts.append(Content.styled(escape_control(facts.program or facts.task), LABEL))
    second = [Content.styled(escape_control(run.reason), WARN)] if run.reason else []
    if run.labels.note:
        second.append(Content(escape_control(run.labels.note)))
    gap = Content("  ")
    return [gap.join(parts), gap.join(second)]

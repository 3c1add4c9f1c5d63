"""Dialog for the metrics of one chart: type to filter, space ticks, enter applies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.fuzzy import FuzzySearch
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from cockpit.charts.build import metrics_of
from cockpit.text.format import escape_control
from cockpit.ui.panels.charts.chart import ChartView
from cockpit.ui.panels.toolkit.fuzzy import found

_HINT: Final = "up/down move   space ticks   enter applies   escape cancels   none ticked: the defaults"
_NOTHING: Final = "no metric has these letters in this order"


class Filter(Input):
    """Filter field; space is left to the list, as no name has one."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Return whether the key is text for the field."""
        return key != "space" and super().check_consume_key(key, character)


class MetricChooser(ModalScreen[tuple[str, ...] | None]):
    """Returns the ticked metrics in the order of ticking, or `None` if cancelled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "cancel", show=False),
        Binding("up", "move(-1)", "up", show=False, priority=True),
        Binding("down", "move(1)", "down", show=False, priority=True),
        Binding("space", "tick", "tick", show=False, priority=True),
        Binding("enter", "accept", "apply", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    MetricChooser {
        align: center middle;

        & > Vertical {
            width: 64;
            max-width: 90%;
            height: 70%;
            max-height: 32;
            padding: 0 1;
            border: round $primary;
            background: $surface;
        }
        & OptionList { height: 1fr; border: none; background: $surface; }
        & Filter:focus { border: none; }
        & Filter { border: none; height: 1; padding: 0; background: $boost; }
        & Label { width: 100%; color: $foreground 62%; }
    }
    """

    def __init__(self, title: str, names: Sequence[str], chosen: Sequence[str]) -> None:
        super().__init__()
        self._title = title
        self._names = tuple(names)
        self._chosen = [name for name in chosen if name in self._names]
        self._search = FuzzySearch()
        self._listed: list[str] = []

    def compose(self) -> ComposeResult:
        """Yield the filter and the filtered list."""
        with Vertical() as box:
            box.border_title = Content(f"Metrics of {escape_control(self._title)}")
            yield Filter(placeholder="filter", id="filter")
            yield OptionList(id="metrics", markup=False)
            yield Label(_HINT, markup=False)

    def on_mount(self) -> None:
        """List every metric."""
        self._list("")

    def on_input_changed(self, event: Input.Changed) -> None:
        """List the metrics that match the filter, the best first."""
        self._list(event.value)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Tick the metric that was clicked."""
        event.stop()
        self._tick(event.option_index)

    def action_move(self, by: int) -> None:
        """Move the highlight up or down."""
        options = self.query_one(OptionList)
        if self._listed:
            options.highlighted = ((options.highlighted or 0) + by) % len(self._listed)

    def action_tick(self) -> None:
        """Tick or untick the highlighted metric."""
        at = self.query_one(OptionList).highlighted
        if at is not None:
            self._tick(at)

    def action_accept(self) -> None:
        """Close with the ticked metrics."""
        self.dismiss(tuple(self._chosen))

    def action_cancel(self) -> None:
        """Close without a change."""
        self.dismiss(None)

    def _tick(self, at: int) -> None:
        name = self._listed[at]
        if name in self._chosen:
            self._chosen.remove(name)
        else:
            self._chosen.append(name)
        self.query_one(OptionList).replace_option_prompt_at_index(at, self._prompt(name))

    def _list(self, query: str) -> None:
        options = self.query_one(OptionList)
        self._listed = found(self._search, query, self._names)
        options.clear_options()
        options.add_options([Option(self._prompt(name)) for name in self._listed])
        if not self._listed:
            options.add_option(Option(_NOTHING, disabled=True))
        options.highlighted = 0 if self._listed else None

    def _prompt(self, name: str) -> Content:
        return Content(f"[{'x' if name in self._chosen else ' '}] {escape_control(name)}")


def choose_metrics(chart: ChartView, names: tuple[str, ...]) -> None:
    """Let the user choose the metrics of a chart among `names`."""

    def choose(chosen: tuple[str, ...] | None) -> None:
        if chosen is not None:
            chart.set_options(replace(chart.options, metrics=chosen or None, locked=()))

    chooser = MetricChooser(chart.spec.title, names, metrics_of(chart.spec, chart.options, names))
    chart.app.push_screen(chooser, choose)

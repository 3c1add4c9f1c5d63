"""The layers panel: the network as a tree of modules and parameters with the numbers of the newest measurements."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Static

from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.ui.panels.layers.columns import Columns, RowLook, heading, in_full, row
from cockpit.ui.panels.layers.numbers import MEASURES
from cockpit.ui.panels.layers.tree import Node
from cockpit.ui.panels.layers.view import LayerView
from cockpit.ui.panels.toolkit.line_list import LineList
from cockpit.ui.panels.toolkit.panel import Ask
from cockpit.ui.panels.toolkit.search_panel import SearchedList
from cockpit.ui.panels.toolkit.symbols import signs_for
from engine.errors import UserError
from engine.journal.task_meta import layer_metric


class LayersPanel(SearchedList):
    """One row per module or parameter; only rows in view are drawn, and only new measurements are read."""

    TITLE: ClassVar[str] = "Layers"
    HELP = (
        "Right opens a module, left closes it; + and - open and close all. Enter pins the chosen number of a layer to "
        "the charts, and removes it again. m chooses the number: gradient, weights, update, g=0 or a=0, which are the "
        "shares of zeros in gradient and activations. s orders by it. / filters, escape removes the filter. h takes "
        "histograms of a layer. Dead: no gradient, or 99.5 % zeros in the activations, in the newest 3 measurements. "
        "Exploding: a norm above ten times its median before."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "close", show=False),
        Binding("right", "open", show=False),
        Binding("plus,equals_sign", "turn_all(True)", show=False),
        Binding("minus", "turn_all(False)", show=False),
        Binding("m", "measure", show=False),
        Binding("s", "order", show=False),
        Binding("h", "histogram", show=False),
    ]
    DEFAULT_CSS = """
    LayersPanel {
        & #heading { width: 1fr; height: 1; padding: 0; background: $surface; }
    }
    """

    def __init__(self, *, marker: str = "braille", id: str | None = None) -> None:
        super().__init__(id=id)
        self.listing.follows = False
        self.view = LayerView()
        self._signs = signs_for(marker)
        self._folds = ("+", "-") if marker == "ascii" else ("▸", "▾")
        self._heading = Static(id="heading", markup=False)
        self._session: Session | None = None
        self._columns = Columns.of(80)

    def compose(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        with Horizontal():
            yield self.status
            yield Input(placeholder="/ filters", compact=True, select_on_focus=False)
        yield self._heading
        yield self.listing
        yield self._detail

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Show the newest measurements if there are new ones."""
        is_other = session is not self._session
        self._session = session
        if not (update.steps or update.rewound or is_other):
            return
        try:
            window = session.layers.newest()
        except UserError:  # the session's notice has the reason
            return
        if window is not self.view.window or is_other:
            self.view.take(window)
            self._fill()

    def seek(self, text: str) -> None:
        """Keep the layers whose name contains every word of `text`."""
        self._fill()

    def _fill(self) -> None:
        """List the rows in view; the cursor stays on its layer."""
        held = self.view.node(self.listing.cursor)
        self.view.fill(self.sought)
        self.listing.follows = False
        self.listing.show(len(self.view.rows))
        if held is not None and (line := self.view.line_of(held.path)) is not None:
            self._go_to(line)
        self._say()
        self._write_out(self.listing.cursor)

    def _go_to(self, index: int) -> None:
        if index != self.listing.cursor:
            self.listing.go_to(index)
            self.listing.follows = False

    def line(self, index: int) -> Content:
        """Return the line of a layer."""
        view, node = self.view, self.view.node(index)
        if view.numbers is None or node is None:
            return Content()
        fold = self._folds[view.is_open(node)] if view.is_tree and node.has_more else " "
        name, depth = (node.label, node.depth) if view.is_tree else (node.path, 0)
        look = RowLook(name, depth, fold, bool(self._pinned(node)))
        return row(look, view.rows[index], view.numbers, view.measure, self._columns, self._signs)

    def _pinned(self, node: Node) -> list[str]:
        """Return the names of the numbers of a node that are drawn in the charts."""
        pinned = self._session.layers.pinned if self._session is not None else ()
        return [name for measure, (_, name) in MEASURES.items() if layer_metric(node.path, measure) in pinned]

    def _say(self) -> None:
        """Say what is shown, and in which order."""
        self._heading.display = self.view.window is not None
        self._heading.update(heading(self._columns, self.view.measure, self._signs))
        self.status.update(self.view.summary + self.nothing(len(self.view.rows)))

    def _write_out(self, index: int) -> None:
        """Show the layer under the cursor in full."""
        view, node = self.view, self.view.node(index)
        self._detail.display = view.numbers is not None and node is not None
        if view.numbers is not None and node is not None:
            number, pinned = view.rows[index], self._pinned(node)
            self._detail.update(in_full(node, number, view.numbers, view.num_values(node), pinned))

    def on_resize(self) -> None:
        """Fit the columns to the new width."""
        self._columns = Columns.of(max(self.size.width - 1, 1))  # a scroll bar takes one
        self._say()
        self.listing.refresh()

    # --- keys and mouse -------------------------------------------------------------------

    def action_open(self) -> None:
        """Open the module under the cursor; go into one that is open."""
        node = self.view.node(self.listing.cursor)
        if node is None or not node.has_more or not self.view.is_tree:
            return
        if self.view.is_open(node):
            self._go_to(self.listing.cursor + 1)
        else:
            self.view.turn(node)
            self._fill()

    def action_close(self) -> None:
        """Close the module under the cursor, or go to the module that contains it."""
        node = self.view.node(self.listing.cursor)
        if node is None or not self.view.is_tree:
            return
        if node.has_more and self.view.is_open(node):
            self.view.turn(node)
            self._fill()
        elif (line := self.view.line_of(self.view.above(node))) is not None:
            self._go_to(line)

    def action_turn_all(self, is_open: bool) -> None:
        """Open or close every module."""
        self.view.turn_all(is_open=is_open)
        self._fill()

    def action_measure(self) -> None:
        """Choose the next measure."""
        self.view.next_measure()
        self._fill()

    def action_order(self) -> None:
        """Choose the next order of the rows."""
        self.view.next_order()
        self._fill()
        self._go_to(0)

    def action_histogram(self) -> None:
        """Ask for the histograms of the layer under the cursor."""
        node = self.view.node(self.listing.cursor)
        self.post_message(Ask("histogram", "" if node is None else node.path))

    def on_click(self, event: events.Click) -> None:
        """Choose the measure whose heading was clicked."""
        measure = event.style.meta.get("measure")
        if measure in MEASURES:
            event.stop()
            self.view.measure = str(measure)
            self._fill()

    def on_line_list_chosen(self, event: LineList.Chosen) -> None:
        """Open or close a module that was clicked; on enter, pin the chosen number of a layer or remove it again."""
        event.stop()
        node, session = self.view.node(event.index), self._session
        if node is None or session is None:
            return
        if event.by_click:
            self.view.turn(node)
            self._fill()
        else:
            self._pin(node, session)

    def _pin(self, node: Node, session: Session) -> None:
        """Draw the chosen number of a layer in the charts, or no longer."""
        name, metric = MEASURES[self.view.measure][1], self.view.metric_of(node)
        if not metric:
            self.notify(f"{node.path} has no {name}: m chooses another number", severity="warning", markup=False)
            return
        where = "drawn in the charts" if session.layers.pin(metric) else "no longer drawn in the charts"
        self.notify(f"{name} of {node.path}: {where}", markup=False)
        self.listing.refresh()
        self._write_out(self.listing.cursor)

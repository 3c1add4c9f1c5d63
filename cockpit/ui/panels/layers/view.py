"""The state of the layers' table: the measurements, which modules are open, and the order of the rows."""

from __future__ import annotations

from typing import Final

from cockpit.session.history.layer_numbers import LayerWindow
from cockpit.text.format import counted
from cockpit.ui.panels.layers.numbers import MEASURES, LayerNumbers
from cockpit.ui.panels.layers.tree import ROOT, LayerTree, Node
from engine.journal.task_meta import ACT_ZEROS, GRAD_NORM, layer_metric

ORDERS: Final = ("network", "largest", "smallest")
"""Orders of the rows: the tree, or single layers by the newest number of the chosen measure."""

NOTHING: Final = "no layers were measured: layers.every_steps sets how often"


class LayerView:
    """The rows in view, as numbers of nodes of `tree`. `numbers` is `None` before the first measurement."""

    def __init__(self) -> None:
        self.window: LayerWindow | None = None
        self.tree = LayerTree((), ())
        self.numbers: LayerNumbers | None = None
        self.rows: list[int] = []
        self.measure, self.order = GRAD_NORM, ORDERS[0]
        self._opened: frozenset[str] = frozenset()
        self._words: list[str] = []

    def take(self, window: LayerWindow | None) -> None:
        """Show other measurements. The only module at the top is open at first."""
        before, self.window = self.window, window
        if window is None:
            self.tree, self.numbers = LayerTree((), ()), None
            return
        if before is None or (before.parameters, before.modules) != (window.parameters, window.modules):
            self.tree = LayerTree(window.parameters, window.modules)
            tops = [node.path for node in self.tree.nodes if node.parent == ROOT]
            self._opened = self._opened or (frozenset(tops) if len(tops) == 1 else frozenset())
        self.numbers = LayerNumbers(self.tree, window)

    def fill(self, text: str) -> None:
        """List the rows whose name contains every word of `text`, or those of open modules for an empty text."""
        self._words = text.lower().split()
        if self.is_tree:
            self.rows = self.tree.shown(self._opened, self._words)
        elif self.numbers is not None:
            wanted = [number for number in self.tree.matching(self._words) if self._is_single(self.tree.nodes[number])]
            found = self.numbers.largest_first(self.measure, wanted)
            self.rows = found if self.order == ORDERS[1] else found[::-1]

    def _is_single(self, node: Node) -> bool:
        """Return whether the chosen measure was measured of the node itself, not of those below it."""
        return node.module >= 0 if self.measure == ACT_ZEROS else node.parameter >= 0

    @property
    def is_tree(self) -> bool:
        """Whether the rows are the tree."""
        return self.order == ORDERS[0]

    @property
    def num_marked(self) -> int:
        """The number of single layers with a mark; modules with others below them are left out."""
        marks = self.numbers.marks if self.numbers is not None else []
        return sum(1 for node, mark in zip(self.tree.nodes, marks, strict=False) if mark and not node.has_more)

    @property
    def summary(self) -> str:
        """What is shown, and in which order."""
        window = self.window
        if window is None:
            return NOTHING
        every = f", every {window.every_steps}" if window.every_steps else ""
        order = "" if self.is_tree else f"  {self.order} {MEASURES[self.measure][0]} first"
        parameters = counted(len(window.parameters), "parameter")
        return f"step {window.steps[-1]}{every}  {parameters}, {self.num_marked} marked{order}"

    def node(self, index: int) -> Node | None:
        """Return the node in line `index`, `None` for none."""
        is_there = 0 <= index < len(self.rows) and self.rows[index] < len(self.tree.nodes)
        return self.tree.nodes[self.rows[index]] if is_there else None

    def line_of(self, path: str) -> int | None:
        """Return the line of the node with that path, `None` if it is not in view."""
        return next((line for line, number in enumerate(self.rows) if self.tree.nodes[number].path == path), None)

    def above(self, node: Node) -> str:
        """Return the path of the module that contains the node, an empty string for the network."""
        return "" if node.parent == ROOT else self.tree.nodes[node.parent].path

    def is_open(self, node: Node) -> bool:
        """Return whether the rows below the node are in view."""
        return node.path in self._opened or bool(self._words)

    def turn(self, node: Node) -> None:
        """Open a closed module, close an open one; do nothing for one without rows below."""
        if node.has_more and self.is_tree:
            self._opened ^= {node.path}

    def turn_all(self, *, is_open: bool) -> None:
        """Open or close every module."""
        self._opened = frozenset(node.path for node in self.tree.nodes if is_open and node.has_more)

    def next_measure(self) -> None:
        """Choose the next measure."""
        names = list(MEASURES)
        self.measure = names[(names.index(self.measure) + 1) % len(names)]

    def next_order(self) -> None:
        """Choose the next order of the rows."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]

    def metric_of(self, node: Node) -> str:
        """Return the metric of the chosen measure of a node, an empty string if it has none."""
        has_one = node.module >= 0 if self.measure == ACT_ZEROS else node.last > node.first
        return layer_metric(node.path, self.measure) if has_one else ""

    def num_values(self, node: Node) -> int:
        """Return the number of values of all parameters in the node."""
        return 0 if self.window is None else int(self.window.sizes[self.tree.order[node.first : node.last]].sum())

"""The layers of a network as a tree, from their dotted names: modules that open to their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

ROOT: Final = -1
"""The number of the tree's root, which is no row."""


@dataclass(slots=True)
class Node:
    """One row: a module, or a parameter. Numbers of nodes are those in the tree's order, depth first.

    `end` is the number after the last node below it. `first` and `last` bound the parameters in it, in the tree's
    order. `parameter` and `module` are the places in the lists of names, -1 for none. `has_more` is whether nodes are
    below it.
    """

    path: str
    label: str
    depth: int
    parent: int
    parameter: int = -1
    module: int = -1
    end: int = 0
    first: int = 0
    last: int = 0
    has_more: bool = False


@dataclass(slots=True)
class _Branch:
    """A module while the tree is built."""

    children: dict[str, _Branch] = field(default_factory=dict[str, "_Branch"])
    parameter: int = -1
    module: int = -1


class LayerTree:
    """All nodes in their order. `order` are the parameters' places in the list of names, depth first."""

    def __init__(self, parameters: Sequence[str], modules: Sequence[str]) -> None:
        root = _Branch()
        for number, name in enumerate(parameters):
            _below(root, name).parameter = number
        for number, name in enumerate(modules):
            _below(root, name).module = number
        self.nodes: list[Node] = []
        self.order: list[int] = []
        self._add(root, "", ROOT, 0)

    def _add(self, branch: _Branch, path: str, parent: int, depth: int) -> None:
        for label, child in branch.children.items():
            own = f"{path}.{label}" if path else label
            number = len(self.nodes)
            node = Node(own, label, depth, parent, child.parameter, child.module, first=len(self.order))
            self.nodes.append(node)
            if child.parameter >= 0:
                self.order.append(child.parameter)
            self._add(child, own, number, depth + 1)
            node.end, node.last = len(self.nodes), len(self.order)
            node.has_more = node.end > number + 1

    def shown(self, opened: frozenset[str], words: Sequence[str]) -> list[int]:
        """Return the nodes in view: those below `opened` ones, or with `words` all that match and those above them."""
        if words:
            return sorted(self._with_parents(self.matching(words)))
        found: list[int] = []
        number = 0
        while number < len(self.nodes):
            node = self.nodes[number]
            found.append(number)
            number = number + 1 if node.path in opened else node.end
        return found

    def matching(self, words: Sequence[str]) -> list[int]:
        """Return the nodes whose path contains each of `words`, in lower case."""
        return [n for n, node in enumerate(self.nodes) if all(word in node.path.lower() for word in words)]

    def _with_parents(self, numbers: Sequence[int]) -> set[int]:
        found = set(numbers)
        for number in numbers:
            parent = self.nodes[number].parent
            while parent != ROOT and parent not in found:
                found.add(parent)
                parent = self.nodes[parent].parent
        return found


def _below(root: _Branch, name: str) -> _Branch:
    branch = root
    for label in name.split("."):
        branch = branch.children.setdefault(label, _Branch())
    return branch

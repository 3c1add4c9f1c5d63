"""Safe YAML with the plain values of YAML 1.2, and the file and line of every value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import yaml
from yaml.composer import ComposerError
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.reader import ReaderError

from engine.errors import UserError
from engine.protocol.record import record

COMMAND_LINE: Final = "command line"

Path = tuple[str, ...]
"""The keys from the root of the tree to a value: ("training", "epochs")."""

_PLAIN_VALUES: Final = (
    ("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)\Z")),
    ("tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")),
    ("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+\Z")),
    (
        "tag:yaml.org,2002:float",
        re.compile(
            r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
        ),
    ),
)
"""YAML 1.2's core schema: 1e-5 is a number, yes and no are words, 010 is ten, a date is a word."""

_RESOLVERS: Final[dict[Any, Any]] = {None: list(_PLAIN_VALUES)}


@record
class Setting:
    """One value of a configuration and its location; `line` counts from 1."""

    value: object
    source: str
    line: int = 0

    @property
    def where(self) -> str:
        """The location for errors: `configs/tiny.yaml:12`, or `command line`."""
        return _place(self.source, self.line)


def _base_ten(loader: yaml.SafeLoader, node: ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _place(source: str, line: int) -> str:
    return source if source == COMMAND_LINE or line == 0 else f"{source}:{line}"


class PlainLoader(yaml.SafeLoader):
    """A safe loader for YAML 1.2's plain values, without aliases."""

    yaml_implicit_resolvers = _RESOLVERS

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Reject an alias, which could make an infinite document."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise ComposerError(None, None, "aliases are not supported; repeat the value", mark)
        return super().compose_node(parent, index)

    yaml_constructors = yaml.SafeLoader.yaml_constructors | {"tag:yaml.org,2002:int": _base_ten}


class PlainDumper(yaml.SafeDumper):
    """A dumper whose text `PlainLoader` reads as the same values. Lists stay on one line."""

    yaml_implicit_resolvers = _RESOLVERS

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
        """Return a list in brackets."""
        return super().represent_sequence(tag, sequence, flow_style=True)


def read_settings(text: str, source: str) -> dict[Path, Setting]:
    """Return every value that the YAML `text` sets, in its order; `source` is the file name for errors.

    Raises UserError for a syntax error, a repeated key, an unsafe tag, or a document that is not a mapping.
    """
    loader = _loader(text, source)
    try:
        root = _parsed(loader.get_single_node, source)
        if root is None:
            return {}
        if not isinstance(root, MappingNode):
            where = _place(source, root.start_mark.line + 1)
            raise UserError(f"{where}: a config is a mapping of sections, like 'training:' and below it 'epochs: 5'")
        return dict(_leaves(loader, root, (), source))
    finally:
        loader.dispose()


def read_value(text: str, path: Path) -> dict[Path, Setting]:
    """Return the settings that `text` makes for the key `path` on the command line: one, or several for a mapping."""
    loader = _loader(text, COMMAND_LINE)
    try:
        node = _parsed(loader.get_single_node, COMMAND_LINE)
        return dict(_leaves(loader, node, path, COMMAND_LINE)) if node else {path: Setting(None, COMMAND_LINE)}
    finally:
        loader.dispose()


@lru_cache(maxsize=4)
def written_tree(text: str) -> Any:
    """Return the content of a YAML text that this program wrote. A resume asks for that of its run several times.

    Callers must not change it.
    """
    return yaml.safe_load(text)


def _loader(text: str, source: str) -> PlainLoader:
    try:
        return PlainLoader(text)
    except ReaderError as error:
        where = _place(source, text[: error.position].count("\n") + 1)
        raise UserError(f"{where}: character U+{ord(text[error.position]):04X} is not allowed in YAML") from None


def _parsed(step: Any, source: str, *arguments: Any) -> Any:
    """Return `step(*arguments)`. Raises UserError with the YAML error."""
    try:
        return step(*arguments)
    except yaml.MarkedYAMLError as error:
        raise UserError(_sentence(error, source)) from None
    except RecursionError:
        raise UserError(f"{source}: nested too deeply to be a config") from None


def _sentence(error: yaml.MarkedYAMLError, source: str) -> str:
    mark = error.problem_mark or error.context_mark
    where = _place(source, mark.line + 1 if mark else 0)
    problem = " ".join(str(error.problem or error.context).split())
    if r"'\t'" in problem or _is_at_tab(mark):
        return f"{where}: YAML is not indented with tabs; use spaces"
    return f"{where}: not valid YAML, {problem}"


def _is_at_tab(mark: Any) -> bool:
    """Return whether the line of `mark` is indented with a tab."""
    if mark is None or mark.buffer is None:
        return False
    start = mark.buffer.rfind("\n", 0, mark.pointer) + 1
    line = mark.buffer[start:].partition("\n")[0]
    return "\t" in line[: len(line) - len(line.lstrip())]


def _leaves(loader: PlainLoader, node: Node, path: Path, source: str) -> Iterator[tuple[Path, Setting]]:
    """Yield the values under `node`, depth first. An empty mapping counts as a value."""
    line = node.start_mark.line + 1
    if not isinstance(node, MappingNode) or not node.value:
        yield path, Setting(_constructed(loader, node, source), source, line)
        return
    for here, at, value_node in _entries(node, path, source):
        for below, setting in _leaves(loader, value_node, here, source):
            yield below, Setting(setting.value, source, at) if below == here else setting


def _entries(node: MappingNode, path: Path, source: str) -> Iterator[tuple[Path, int, Node]]:
    """Yield the path, the line and the value of each key. Raises UserError for a key that is given twice."""
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, at = _key(key_node, source), key_node.start_mark.line + 1
        if key in seen:
            raise UserError(
                f"{_place(source, at)}: {'.'.join((*path, key))!r} is given twice, first in line {seen[key]}"
            )
        seen[key] = at
        yield (*path, key), at, value_node


def _key(node: Node, source: str) -> str:
    if not isinstance(node, ScalarNode):
        raise UserError(f"{_place(source, node.start_mark.line + 1)}: a key is a plain word, not a list or a mapping")
    return node.value


def _constructed(loader: PlainLoader, node: Node, source: str) -> object:
    def construct() -> object:
        return loader.construct_object(node, deep=True)

    try:
        return _parsed(construct, source)
    except UserError:
        raise
    except (ValueError, KeyError, TypeError):
        where = _place(source, node.start_mark.line + 1)
        raise UserError(f"{where}: {str(node.value)[:60]!r} is not a value of its YAML type") from None

"""Write a configuration as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from engine.config.files.yaml_source import Path as KeyPath
from engine.config.files.yaml_source import PlainDumper
from engine.config.tree import RunConfig
from engine.protocol.record import record


@record
class Resolved:
    """A configuration with the origin of each dotted key: `file:line`, `command line` or `default`."""

    config: RunConfig
    origins: Mapping[str, str]


def dump_config(config: RunConfig) -> str:
    """Return the whole configuration as YAML in the tree's order. `read_resolved` restores it."""
    return "\n".join(_lines(config.model_dump(mode="json"), (), {})) + "\n"


def show_config(resolved: Resolved) -> str:
    """Return the whole configuration as YAML with the origin of each value as a comment."""
    return "\n".join(_lines(resolved.config.model_dump(mode="json"), (), resolved.origins)) + "\n"


def _lines(tree: Mapping[str, Any], path: KeyPath, origins: Mapping[str, str]) -> list[str]:
    """Return the YAML of one section, indented by two spaces per level, with the origins as comments."""
    lines: list[str] = []
    for name, value in tree.items():
        below = (*path, name)
        indent = "  " * len(path)
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, below, origins)]  # pyright: ignore[reportUnknownArgumentType]
        else:
            origin = origins.get(".".join(below), "")
            lines.append(f"{indent}{name}: {_yaml_value(value)}{f'  # {origin}' if origin else ''}")
    return lines


def _yaml_value(value: object) -> str:
    if value is None or isinstance(value, int):  # most values: a dumper for each would take most of the time
        return "null" if value is None else str(value).lower()
    style = '"' if isinstance(value, str) else None
    text = yaml.dump(value, Dumper=PlainDumper, default_style=style, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")

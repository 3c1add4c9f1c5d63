"""Style sheets of Textual that are parsed once for all apps of a process: each app has one of its own by default."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from textual.css.stylesheet import Stylesheet

_parsed: defaultdict[frozenset[tuple[str, str]], dict[tuple[Any, ...], Any]] = defaultdict(dict)
"""The cache that Textual keeps in each sheet, by the variables that the rules were parsed with."""


def share_parsed_css() -> None:
    """Let all sheets with the same variables have one cache. Rules that are parsed never change."""
    initialize, set_variables = Stylesheet.__init__, Stylesheet.set_variables

    def initialize_shared(sheet: Stylesheet, *, variables: dict[str, str] | None = None) -> None:
        initialize(sheet, variables=variables)
        _share(sheet, variables or {})

    def set_variables_shared(sheet: Stylesheet, variables: dict[str, str]) -> None:
        vars(sheet)["_parse_cache"] = {}  # it is emptied
        set_variables(sheet, variables)
        _share(sheet, variables)

    Stylesheet.__init__ = initialize_shared  # type: ignore[method-assign]
    Stylesheet.set_variables = set_variables_shared  # type: ignore[method-assign]


def _share(sheet: Stylesheet, variables: dict[str, str]) -> None:
    assert "_parse_cache" in vars(sheet), "this Textual keeps its rules elsewhere"
    vars(sheet)["_parse_cache"] = _parsed[frozenset(variables.items())]

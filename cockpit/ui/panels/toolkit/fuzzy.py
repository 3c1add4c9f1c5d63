"""Search names by letters in their order."""

from __future__ import annotations

from collections.abc import Sequence

from textual.fuzzy import FuzzySearch


def found(search: FuzzySearch, query: str, names: Sequence[str]) -> list[str]:
    """Return the names that match, the best first and equal ones in order; all for an empty query."""
    sought = query.strip()
    if not sought:
        return list(names)
    scores = {name: search.match(sought, name)[0] for name in names}
    return sorted((name for name in names if scores[name] > 0), key=lambda name: -scores[name])

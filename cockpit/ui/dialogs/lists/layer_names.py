"""The names of the layers of a run, and those that a search finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from textual.fuzzy import FuzzySearch

from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.journal.task_meta import LAYERS_META, layers_of
from engine.outputs.inspection.layer_histograms import LayerHistograms

NETWORK: Final = "network"
"""The name of the whole network as a layer."""


def layer_names(run_dir: Path, kept: Iterable[LayerHistograms]) -> tuple[str, ...]:
    """Return the layers of a run's network: those measured, the modules that hold them, and those `kept`."""
    try:
        with closing(JournalReader(run_dir)) as reader:
            found = layers_of(reader.meta(LAYERS_META))
    except UserError:
        found = None
    parts_of = [parameter.split(".") for parameter in found.sizes] if found is not None else []
    names = [".".join(parts[:length]) for parts in parts_of for length in range(1, len(parts) + 1)]
    return tuple(dict.fromkeys((*([NETWORK] if names else []), *names, *(taken.layer for taken in kept))))


def found_names(names: Sequence[str], text: str) -> list[str]:
    """Return the names that contain the letters of `text` in their order, the best ones first."""
    search, sought = FuzzySearch(), text.strip()
    scores = {name: search.match(sought, name)[0] if sought else 1.0 for name in names}
    found = sorted((name for name in names if scores[name] > 0), key=lambda name: -scores[name])
    if sought in found:
        found.remove(sought)
        found.insert(0, sought)
    return found

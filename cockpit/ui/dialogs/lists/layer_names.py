"""The names of the layers of a run, and those that a search finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from textual.fuzzy import FuzzySearch

from cockpit.ui.panels.toolkit.fuzzy import found
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
            held = layers_of(reader.meta(LAYERS_META))
    except UserError:
        held = None
    parts_of = [parameter.split(".") for parameter in held.sizes] if held is not None else []
    names = [".".join(parts[:length]) for parts in parts_of for length in range(1, len(parts) + 1)]
    return tuple(dict.fromkeys((*([NETWORK] if names else []), *names, *(taken.layer for taken in kept))))


def found_names(names: Sequence[str], text: str) -> list[str]:
    """Return the names that contain the letters of `text` in their order: itself, then the best ones first."""
    others = found(FuzzySearch(), text, names)
    itself = [name for name in others if name == text.strip()]
    return [*itself, *(name for name in others if name not in itself)]

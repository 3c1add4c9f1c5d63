"""What the tabs hold; each is imported and made when it is first wanted, or when there is nothing better to do."""

from __future__ import annotations

from collections.abc import Iterator

from textual.containers import VerticalScroll
from textual.widget import Widget

from cockpit.charts.glyphs import Marker
from cockpit.widgets.modules import Modules
from cockpit.widgets.panel import Panel
from cockpit.widgets.phases import Phases
from cockpit.widgets.safety import Safety


def beside_charts(marker: Marker) -> Iterator[Panel]:
    """What is below the others may be out of sight: safety comes first."""
    yield Safety(marker=marker)
    yield Phases(marker=marker)
    yield Modules(marker=marker)


def _column(marker: Marker) -> Iterator[Panel]:
    """Phases, modules and safety, one below the other."""
    yield Phases(marker=marker)
    yield Modules(marker=marker)
    yield Safety(marker=marker)


def tab_of(name: str, marker: Marker) -> Widget:
    """What the tab of that name holds, not displayed yet. Raises ValueError for the charts and for no tab at all."""
    tab = _tab_of(name, marker)
    tab.display = False
    return tab


def _tab_of(name: str, marker: Marker) -> Widget:
    match name:
        case "run":
            return VerticalScroll(*_column(marker), id=name)
        case "preview":
            from cockpit.widgets.preview import Preview  # noqa: PLC0415

            return Preview(marker=marker, id=name)
        case "events":
            from cockpit.widgets.events import Events  # noqa: PLC0415

            return Events(marker=marker, id=name)
        case "log":
            from cockpit.widgets.log import Log  # noqa: PLC0415

            return Log(id=name)
        case "config":
            from cockpit.widgets.config import Config  # noqa: PLC0415

            return Config(id=name)
        case _:
            raise ValueError(f"there is no tab {name!r}")

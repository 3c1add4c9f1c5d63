"""Contents of the tabs; each is imported and made on demand or while the screen is idle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from cockpit.charts.draw.glyphs import Marker
from cockpit.ui.panels.status.components import ComponentsPanel
from cockpit.ui.panels.status.knobs import KnobsPanel
from cockpit.ui.panels.status.phases import PhasesPanel
from cockpit.ui.panels.status.safety import SafetyPanel
from cockpit.ui.panels.toolkit.panel import Panel
from cockpit.ui.panels.toolkit.panel_updates import PanelUpdates

PAGE_OF: Final[Mapping[str, tuple[str, str]]] = {
    "charts": ("run-directory", "Metrics"),
    "run": ("guardian", "The promotion gate"),
    "preview": ("recipes", "Check your data"),
    "events": ("guardian", "Alerts and incidents"),
    "log": ("reliability", "When a run ends"),
    "config": ("configuration", "Keys of the configuration"),
    "layers": ("run-directory", "Layers"),
}
"""The manual's page and section that help shows on each tab."""


class TabBody(ContentSwitcher):
    """The tabs of the main screen, with the charts to begin with; panels of a further one are added to `updates`."""

    def __init__(self, charts: Panel, marker: Marker, updates: PanelUpdates) -> None:
        super().__init__(charts, initial="charts", id="body")
        self._marker: Marker = marker
        self._updates = updates
        self._made = {"charts"}

    def has(self, name: str) -> bool:
        """Return whether the tab of that name is mounted, and its panels are updated."""
        return name in self._made

    async def make(self, name: str) -> None:
        """Mount the tab of that name, hidden.

        Do nothing if it is there, is being mounted by another call, or while the screen is being removed.
        """
        held = {tab.id for tab in self.children}
        if name in held or "charts" not in held:  # a screen that is removed loses the charts first
            return
        tab = _tab_of(name, self._marker)
        tab.display = False
        await self.mount(tab)
        self._updates.add(panel for panel in tab.walk_children(with_self=True) if isinstance(panel, Panel))
        self._made.add(name)


def side_panels(marker: Marker) -> Iterator[Panel]:
    """Yield the panels of the side column; safety comes first, as the others may not fit."""
    yield SafetyPanel(marker=marker)
    yield KnobsPanel(marker=marker)
    yield PhasesPanel(marker=marker)
    yield ComponentsPanel(marker=marker)


def _column(marker: Marker) -> Iterator[Panel]:
    """Yield the panels of the run tab."""
    yield PhasesPanel(marker=marker)
    yield ComponentsPanel(marker=marker)
    yield KnobsPanel(marker=marker)
    yield SafetyPanel(marker=marker)


def _tab_of(name: str, marker: Marker) -> Widget:
    """Return the content of the tab of that name. Raises ValueError for an unknown name."""
    match name:
        case "run":
            return VerticalScroll(*_column(marker), id=name)
        case "preview":
            from cockpit.ui.panels.preview.panel import PreviewPanel  # noqa: PLC0415

            return PreviewPanel(marker=marker, id=name)
        case "events":
            from cockpit.ui.panels.records.events import EventsPanel  # noqa: PLC0415

            return EventsPanel(marker=marker, id=name)
        case "log":
            from cockpit.ui.panels.records.log import LogPanel  # noqa: PLC0415

            return LogPanel(id=name)
        case "config":
            from cockpit.ui.panels.records.config import ConfigPanel  # noqa: PLC0415

            return ConfigPanel(id=name)
        case "layers":
            from cockpit.ui.panels.layers.panel import LayersPanel  # noqa: PLC0415

            return LayersPanel(marker=marker, id=name)
        case _:
            raise ValueError(f"there is no tab {name!r}")

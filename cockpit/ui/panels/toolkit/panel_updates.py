"""Pass updates of the session to the panels that are displayed, each at its pace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from textual.screen import Screen
from textual.widget import Widget

from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE, SessionUpdate
from cockpit.ui.panels.toolkit.panel import Panel
from cockpit.ui.panels.toolkit.panel_faults import PanelFailed
from cockpit.ui.panels.toolkit.update_throttle import UpdateThrottle

_CHART_SECONDS: Final = 0.35
"""Interval of the charts' updates while only new steps arrive."""

_COLUMN_SECONDS: Final = 2.0
"""Interval of the side column's updates while only new steps arrive."""


class PanelUpdates:
    """The panels of `screen`, which show `session`. The `charts` and the side column have an interval of their own."""

    def __init__(self, screen: Screen[Any], session: Session, charts: Panel) -> None:
        self._screen = screen
        self._session = session
        self._charts = charts
        self._panels: tuple[Panel, ...] = ()
        self._column: frozenset[Panel] = frozenset()
        self._seen: set[Panel] = set()
        self._told: set[Panel] = set()
        self._off: set[Panel] = set()
        self._for_charts = UpdateThrottle(_CHART_SECONDS)
        self._for_column = UpdateThrottle(_COLUMN_SECONDS)

    @property
    def holds(self) -> bool:
        """Return whether an update is held back for some panels."""
        return self._for_charts.holds or self._for_column.holds

    def add(self, panels: Iterable[Panel]) -> None:
        """Add panels; they get everything when they are displayed."""
        self._panels += tuple(panels)

    def add_column(self, panels: Iterable[Panel]) -> None:
        """Note that panels which were added are in the side column."""
        self._column |= frozenset(panels)

    def apply(self, update: SessionUpdate, *, but: Panel | None = None) -> None:
        """Pass on an update to all displayed panels `but` one; a panel that was hidden until now gets everything."""
        charts = self._for_charts.update(update)
        column = self._for_column.update(update, at_once=bool(self._session.pending))
        visible = {panel for panel in self._panels if panel not in self._off | {but} and is_displayed(panel)}
        for panel in visible:
            if panel not in self._told:
                self.update_panel(panel, FULL_UPDATE)
            elif panel not in self._seen:
                # The tab appears immediately with its old content; the next refresh updates it.
                self._screen.call_after_refresh(self.update_panel, panel, FULL_UPDATE)
            elif what := charts if panel is self._charts else column if panel in self._column else update:
                self.update_panel(panel, what)
        self._seen = visible
        self._told |= visible

    def update_panel(self, panel: Panel, update: SessionUpdate) -> None:
        """Update `panel`; an exception in it is reported and does not affect the screen."""
        try:
            panel.apply_update(self._session, update)
        except Exception as error:
            self._screen.app.post_message(PanelFailed(panel, error))

    def switch_off(self, panel: Panel) -> None:
        """Pass nothing more to `panel`."""
        self._seen.discard(panel)
        self._off.add(panel)


def is_displayed(widget: Widget) -> bool:
    """Return whether `widget` and all that contain it are displayed."""
    return all(node.display for node in widget.ancestors_with_self if isinstance(node, Widget))

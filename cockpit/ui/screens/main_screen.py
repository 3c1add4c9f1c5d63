"""The main screen: header, alert, tabs, charts and panels, laid out for the terminal's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.geometry import Size
from textual.reactive import var
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Input, Static

from cockpit.preferences.first_run import HINT
from cockpit.preferences.settings import Settings
from cockpit.session.poll_budget import PollBudget
from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.terminal.textual_private import MeasuresAgain, OpensQuickly
from cockpit.text.format import escape_control
from cockpit.ui.dialogs.action_table import unsupported
from cockpit.ui.dialogs.dispatcher import ActionDispatcher
from cockpit.ui.panels.charts.grid import ChartGrid
from cockpit.ui.panels.status.alerts.banner import Banner
from cockpit.ui.panels.status.header import Header
from cockpit.ui.panels.status.pending_commands import PendingStrip
from cockpit.ui.panels.toolkit.panel import Panel
from cockpit.ui.panels.toolkit.panel_updates import PanelUpdates, is_displayed
from cockpit.ui.panels.toolkit.update_throttle import UpdateThrottle
from cockpit.ui.screens.answer_strip import AnswerStrip
from cockpit.ui.screens.compositor import hold_back, install_compositor
from cockpit.ui.screens.key_bar import KeyBar, Present
from cockpit.ui.screens.sizes import classes_for, too_small
from cockpit.ui.screens.tab_bar import TABS, TabBar
from cockpit.ui.screens.tabs import TabBody, side_panels
from engine.protocol.events import Activity

_HIDDEN_SECONDS = 3.0
"""Interval of updates behind a dialog while only metrics change: for each, Textual renders the whole screen dimmed."""

_TABS_AFTER = 0.3
"""Seconds between the first picture and the construction of each further tab."""

_ROOMY_HEIGHT = 34
"""Below this height the end of the run and the next commands are told in brief."""


class MainScreen(OpensQuickly, MeasuresAgain, Screen[None], inherit_bindings=False):
    """Reads the session, and passes updates to `steering` and to the visible panels.

    `pace` limits the processor time of that.
    """

    AUTO_FOCUS = ""

    # Textual redraws the whole screen when the focus moves; here the widgets that show it redraw themselves.
    focused = var[Widget | None](None, init=False)

    def __init__(
        self,
        session: Session,
        settings: Settings,
        steering: ActionDispatcher,
        *,
        hinted: bool = False,
        baseline: Path | None = None,
    ) -> None:
        super().__init__()
        self._frugal = install_compositor(self)
        self._is_first_picture = True
        hold_back(self._frugal, True)
        self._session = session
        self._settings = settings
        self._steering = steering
        self.pace = PollBudget()
        self._for_hidden = UpdateThrottle(_HIDDEN_SECONDS)
        self.charts = ChartGrid(marker=settings.marker, has_time=self.pace.has_time, baseline=baseline, id="charts")
        self._updates = PanelUpdates(self, session, self.charts)
        self.banner = Banner(marker=settings.marker, id="banner")
        self._pending = PendingStrip(id="pending")
        self.answers = AnswerStrip(marker=settings.marker, id="answers")
        self._ending = Static(id="ending", markup=False)
        self._body = TabBody(self.charts, settings.marker, self._updates)
        self.tab = "charts"
        """Name of the tab that is shown or requested."""
        self._withheld: frozenset[str] = frozenset()
        self._tab_bar = TabBar(settings.keys, id="tabs")
        self._key_bar = KeyBar(settings.keys, id="keys")
        self.set_class(hinted, "-hinted")

    def compose(self) -> ComposeResult:
        """Yield every part; classes on the screen decide which are displayed."""
        marker = self._settings.marker
        self._fit(self.app.size)  # after mounting, every widget would be styled and laid out once more
        with Vertical(id="all"):
            yield Header(marker=marker, reduced_motion=self._settings.reduced_motion, id="header")
            yield self.banner
            yield self._tab_bar
            with Horizontal(id="middle"):
                yield self._body
                yield VerticalScroll(*side_panels(marker), id="side", can_focus=False)
            yield self._pending
            yield self.answers
            yield self._ending
            yield Static(HINT, id="hint", markup=False)
            yield self._key_bar
        yield Static(id="too-small", markup=False)

    def on_mount(self) -> None:
        """Show the first tab after the first layout."""
        # Ten queries a second over the whole tree would cost more than the rest of a quiet screen.
        self._updates.add(panel for panel in self.query(Panel) if not _shows_itself(panel))
        self._updates.add_column(self.query_one("#side").query(Panel))
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """Show the charts, or the tab of a key that came before the first layout."""
        self.show_tab(self.tab)

    def show_tab(self, name: str) -> None:
        """Show the tab of that name once it is made; its panels get everything."""
        self.tab = name
        if not self.is_attached:  # replaced by another run's screen: its tabs are removed
            return
        if not self._body.has(name):
            self.call_later(self._make, name)
            return
        self._tab_bar.show(name)  # first, so that one update shows it together with the tab
        self._body.current = name
        # With a class every panel in it would be styled and drawn again.
        self.query_one("#side").styles.display = None if name == "charts" else "none"
        self._focus_on(name)
        self.apply_update(SessionUpdate())
        if self._is_first_picture:
            self.after_changes(self._uncover)

    def _uncover(self) -> None:
        """Show the first picture once the panels' heights are known, so that charts are drawn for one size."""
        if self._is_first_picture:
            self._is_first_picture = False
            hold_back(self._frugal, False)
            self.apply_update(SessionUpdate())
            self.refresh()
            self.call_after_refresh(self.end_opening)
            self.set_timer(_TABS_AFTER, self._make_next)

    async def _make(self, name: str) -> None:
        """Mount the tab of that name, and show it if it was requested."""
        await self._body.make(name)
        if self._body.has(name) and self.tab == name != self._body.current:
            self.show_tab(name)

    async def _make_next(self) -> None:
        missing = next((name for name in TABS.values() if not self._body.has(name)), None)
        if missing is not None:
            await self._make(missing)
            self.set_timer(_TABS_AFTER, self._make_next)

    def _focus_on(self, name: str) -> None:
        """Focus the widget of the tab that handles moving and scrolling."""
        tab = self.query_one(f"#{name}")
        if name == "charts":
            self.set_focus(None)
        elif tab.focusable:
            tab.focus(scroll_visible=False)
        else:
            # A search field with the focus would take every key as text.
            found = (widget for widget in tab.query("*") if widget.focusable and not isinstance(widget, Input))
            self.set_focus(next(found, None), scroll_visible=False)

    def help_texts(self) -> list[tuple[str, str]]:
        """Return title and help of the visible panels, those of the tab first."""
        tab = self.query_one(f"#{self._body.current}")
        seen = [panel for panel in self.query(Panel) if is_displayed(panel)]
        seen.sort(key=lambda panel: tab not in panel.ancestors_with_self)
        return list(dict.fromkeys((panel.TITLE, panel.HELP) for panel in seen if panel.HELP))

    def turn_tab(self, by: int) -> None:
        """Go `by` tabs to the right."""
        names = list(TABS.values())
        self.show_tab(names[(names.index(self.tab) + by) % len(names)])

    def poll(self) -> SessionUpdate:
        """Read the journal and show what is new, up to ten times a second. Return what was read.

        Once `pace` is used up, outdated charts are drawn instead. While a command is pending, every call reads: a
        person waits for its answer.
        """
        if not self.pace.is_due(urgent=bool(self._session.pending)):
            self.charts.board.turns.catch_up()
            return SessionUpdate()
        update = self._session.poll()
        if update:
            self._steering.apply_update(update)
        shown = self._for_hidden.update(update, at_once=not isinstance(self.app.screen, ModalScreen))
        is_waiting = self._session.pending or self._pending.display
        if shown or is_waiting or self._updates.holds:
            self.apply_update(shown)
        else:
            self.charts.board.turns.catch_up()
        return update

    def apply_update(self, update: SessionUpdate) -> None:
        """Pass on an update; a panel that was hidden until now gets everything."""
        if not self.is_mounted:
            return
        self._updates.apply(update, but=self.charts if self._is_first_picture else None)
        for panel in (self.banner, self._pending):
            self._updates.update_panel(panel, update)
        self.withhold(self._withheld)

    def withhold(self, actions: frozenset[str]) -> None:
        """Offer keys for the run's state, without those of `actions`, which this screen does not have now."""
        self._withheld = actions
        if self.is_mounted:
            present = _present(self._session, self.tab, alerted=bool(self.banner.num_open))
            self._key_bar.show(replace(present, unsupported=present.unsupported | actions))

    def switch_off(self, panel: Panel, why: str) -> None:
        """Hide `panel` and show a notice in its place."""
        self._updates.switch_off(panel)
        if panel.is_attached and panel.display:
            notice = f"! {panel.TITLE} is switched off after a fault: {escape_control(why)}"
            self.mount(Static(notice, classes="switched-off", markup=False), before="#pending")
        panel.display = False

    def say_ended(self, lines: Sequence[str], brief: Sequence[str] = (), *, failed: bool = False) -> None:
        """Show some lines about the end of the run, `brief` in a low terminal, or hide them if there are none."""
        self._ending.update("\n".join(lines if self.app.size.height >= _ROOMY_HEIGHT else brief or lines))
        self._ending.set_class(failed, "failed")
        self.set_class(bool(lines), "-ended")

    def on_resize(self, event: events.Resize) -> None:
        """Lay out for the new size."""
        self._fit(event.size)
        if self.has_class("-too-small"):
            self.query_one("#too-small", Static).update(too_small(event.size, self._session.end))
        self.call_after_refresh(self.apply_update, SessionUpdate())

    def _fit(self, size: Size) -> None:
        """Set the classes for a size."""
        for name, is_set in classes_for(size).items():
            self.set_class(is_set, name)


def _present(session: Session, tab: str, *, alerted: bool) -> Present:
    """Return the present inputs of the key bar."""
    state = session.state
    paused = state is not None and state.activity is Activity.PAUSED
    return Present(
        tab=tab,
        paused=paused,
        steerable=state is None or not session.refusal,
        alerted=alerted,
        unsupported=frozenset(unsupported(session.spec)),
    )


def _shows_itself(panel: Panel) -> bool:
    """Return whether the panel hides itself when empty, so that it needs updates while hidden."""
    return isinstance(panel, Banner | PendingStrip | AnswerStrip)

"""Mouse input of a chart: a click sets the cursor, the wheel zooms, a drag pans, a double click maximises."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.widget import Widget

from cockpit.charts.view import ZOOM


class ChartMouse(Widget, can_focus=True):
    """Widget over steps that posts messages for mouse input."""

    ALLOW_SELECT = False

    class Asked(Message):
        """Base class of the mouse messages of `chart`."""

        def __init__(self, chart: ChartMouse) -> None:
            super().__init__()
            self.chart = chart

        @property
        def control(self) -> ChartMouse:
            """Return the chart."""
            return self.chart

    class Pointed(Asked):
        """Request to set the cursor to `step`."""

        def __init__(self, chart: ChartMouse, step: int) -> None:
            super().__init__(chart)
            self.step = step

    class Zoomed(Asked):
        """Request to zoom by `factor` around `step`."""

        def __init__(self, chart: ChartMouse, step: float, factor: float) -> None:
            super().__init__(chart)
            self.step = step
            self.factor = factor

    class Dragged(Asked):
        """Request to pan by a share of the view's width, below 0 to the left."""

        def __init__(self, chart: ChartMouse, share: float) -> None:
            super().__init__(chart)
            self.share = share

    class Enlarged(Asked):
        """Request to maximise the chart, or to restore its page."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._held_x: int | None = None
        self._dragging = False

    @property
    def plot_width(self) -> int:
        """Return the width of the plot of the whole run in cells, at least 1."""
        raise NotImplementedError

    def step_at(self, x: int) -> float | None:
        """Return the step below column `x`; `None` outside the plots."""
        raise NotImplementedError

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in."""
        self._wheel(event, ZOOM**0.5)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out."""
        self._wheel(event, ZOOM**-0.5)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        event.stop()
        event.prevent_default()
        step = self.step_at(event.x)
        if step is not None:
            self.post_message(self.Zoomed(self, step, factor))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Prepare for a drag."""
        if event.button == 1 and self.step_at(event.x) is not None:
            self._held_x, self._dragging = event.x, False
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Pan with the pointer while the button is down."""
        if self._held_x is not None and event.x != self._held_x:
            self.post_message(self.Dragged(self, (self._held_x - event.x) / self.plot_width))
            self._held_x, self._dragging = event.x, True

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Set the cursor after a click without a drag."""
        held, self._held_x = self._held_x, None
        self.release_mouse()
        step = self.step_at(event.x)
        if held is not None and not self._dragging and step is not None:
            self.post_message(self.Pointed(self, int(step)))

    def on_click(self, event: events.Click) -> None:
        """Maximise the chart on a double click."""
        if event.chain == 2:
            self.post_message(self.Enlarged(self))

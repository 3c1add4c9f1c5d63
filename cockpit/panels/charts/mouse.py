"""What the mouse does on a chart: a press sets the cursor, the wheel zooms, a drag pans, two presses maximise."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.widget import Widget

from cockpit.charts.view import ZOOM


class ChartMouse(Widget, can_focus=True):
    """A widget over steps that says what somebody did to it with the mouse."""

    ALLOW_SELECT = False

    class Asked(Message):
        """Somebody used the mouse on `chart`."""

        def __init__(self, chart: ChartMouse) -> None:
            super().__init__()
            self.chart = chart

        @property
        def control(self) -> ChartMouse:
            """The chart."""
            return self.chart

    class Pointed(Asked):
        """The cursor should go to `step`."""

        def __init__(self, chart: ChartMouse, step: int) -> None:
            super().__init__(chart)
            self.step = step

    class Zoomed(Asked):
        """The view should become `factor` times closer around `step`."""

        def __init__(self, chart: ChartMouse, step: float, factor: float) -> None:
            super().__init__(chart)
            self.step = step
            self.factor = factor

    class Dragged(Asked):
        """The view should move by a share of its width, below 0 to the left."""

        def __init__(self, chart: ChartMouse, share: float) -> None:
            super().__init__(chart)
            self.share = share

    class Enlarged(Asked):
        """The chart should fill the whole area, or shrink again."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._held_x: int | None = None
        self._dragging = False

    @property
    def plot_width(self) -> int:
        """The width of the plot of the whole run in cells, at least 1."""
        raise NotImplementedError

    def step_at(self, x: int) -> float | None:
        """The step below column `x`; None outside the plots."""
        raise NotImplementedError

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Closer."""
        self._wheel(event, ZOOM**0.5)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Further away."""
        self._wheel(event, ZOOM**-0.5)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        event.stop()
        event.prevent_default()
        step = self.step_at(event.x)
        if step is not None:
            self.post_message(self.Zoomed(self, step, factor))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A drag may begin here."""
        if event.button == 1 and self.step_at(event.x) is not None:
            self._held_x, self._dragging = event.x, False
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """The plot moves with the pointer that holds it."""
        if self._held_x is not None and event.x != self._held_x:
            self.post_message(self.Dragged(self, (self._held_x - event.x) / self.plot_width))
            self._held_x, self._dragging = event.x, True

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """A press without a drag sets the cursor."""
        held, self._held_x = self._held_x, None
        self.release_mouse()
        step = self.step_at(event.x)
        if held is not None and not self._dragging and step is not None:
            self.post_message(self.Pointed(self, int(step)))

    def on_click(self, event: events.Click) -> None:
        """A double click gives the chart the whole area."""
        if event.chain == 2:
            self.post_message(self.Enlarged(self))

"""An app that shows the charts of a run held in arrays, and a session that hands them out."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from textual.app import App, ComposeResult

from cockpit.charts.draw.glyphs import Marker
from cockpit.preferences.themes import DARK, THEMES
from cockpit.session.run_summary import Origin
from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE, SessionUpdate
from cockpit.ui.panels.charts.chart import ChartView
from cockpit.ui.panels.charts.grid import ChartGrid
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.events import Status
from engine.tasks.person.spec import SPEC, refinements_of
from tests.charts.array_history import ArrayHistory
from tests.person_state import person_state

STEPS = SessionUpdate(steps=True)
TERMS = {"cross_entropy": 1.0, "dice": 0.5, "auxiliary": 0.3, "boundary_aware": 0.1}


class ArraySession:
    """What charts ask of a session."""

    def __init__(self, history: ArrayHistory) -> None:
        self.history = history
        self.run_dir = Path("r")
        self.entries: list[Entry] = []
        self.chance = dict.fromkeys(TERMS, 1.0)
        self.origin = Origin()
        self.spec = SPEC
        self.state = person_state(run="r", refinements=refinements_of(1), loss_weights=MappingProxyType(TERMS))

    def happen(self, step: int, event: e.Event) -> SessionUpdate:
        """Something happened."""
        entry = Entry(len(self.entries) + 1, 0.0, 1, step, "person", None, Status.NOTED, "", event)
        self.entries.append(entry)
        return SessionUpdate(entries=(entry,))


def metrics_at(step: int) -> dict[str, float]:
    """The metrics of one step."""
    terms = {f"loss_raw/{term}": 1 / step for term in TERMS} | {f"loss/{term}": 1 / step for term in TERMS}
    parts = {f"grad_norm/{part}": 0.5 for part in ("total", "encoder", "decoder")}
    return {"loss/total": 1.9 + 1 / step, "lr": 1e-5, "samples_per_second": 8.0} | terms | parts


def session_of(num_steps: int) -> ArraySession:
    """A run that has taken so many steps."""
    rows = [metrics_at(step) for step in range(1, num_steps + 1)]
    names = metrics_at(1)
    return ArraySession(ArrayHistory.dense({name: np.array([row[name] for row in rows]) for name in names}))


class ChartStage(App[None]):
    """Shows a chart grid on `session`."""

    def __init__(self, session: ArraySession, marker: Marker = "braille") -> None:
        super().__init__()
        self.session = session
        self.has_time = True
        self.grid = ChartGrid(marker=marker, has_time=lambda: self.has_time)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DARK

    def compose(self) -> ComposeResult:
        yield self.grid

    def apply_update(self, update: SessionUpdate = FULL_UPDATE) -> None:
        """Pass the update to the grid."""
        self.grid.apply_update(cast(Session, cast(Any, self.session)), update)

    def chart(self, name: str) -> ChartView:
        """The chart with that id."""
        return next(chart for chart in self.grid.board.charts if chart.spec.id == name)

    @property
    def draws(self) -> dict[str, int]:
        """How often each chart was drawn."""
        return {chart.spec.id: chart.num_draws for chart in self.grid.board.charts}

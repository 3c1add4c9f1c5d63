"""Pictures of the screen that compares runs: its charts over epochs, and its table of interventions."""

from __future__ import annotations

import pytest

from cockpit.app.compare_app import CompareApp
from cockpit.preferences.settings import Settings
from cockpit.ui.panels.comparing.screen import CompareScreen
from tests.panels.comparing.pairs import record_pair
from tests.snapshots.conftest import settled


@pytest.mark.parametrize("key", ["X", "f4"], ids=["charts", "interventions"])
def test_comparison(snap_compare, tmp_path, key):
    async def run_before(pilot):
        await settled(pilot)
        await pilot.press(key)
        await settled(pilot)

    app = CompareApp(CompareScreen(record_pair(tmp_path)), Settings())
    assert snap_compare(app, terminal_size=(80, 24), run_before=run_before)

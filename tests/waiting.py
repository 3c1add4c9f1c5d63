"""Wait in a test of the screen for what a timer, a thread or another process brings."""

from __future__ import annotations

from collections.abc import Callable

from textual.pilot import Pilot


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    """Let the app go on until `holds()`, for 60 s at most."""
    for _ in range(2000):
        if holds():
            return
        await pilot.pause(0.03)
    assert holds()

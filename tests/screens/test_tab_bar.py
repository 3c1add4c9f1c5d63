"""The line of tabs names all of them at every width."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from cockpit.preferences.keymap import KEYS, remap
from cockpit.ui.screens.sizes import MIN_WIDTH
from cockpit.ui.screens.tab_bar import TABS, TabBar


class Bar(App[None]):
    """Nothing but the line."""

    CSS = "TabBar { height: 1; padding: 0 1; color: $text-primary; }"

    def __init__(self, keys=KEYS) -> None:
        super().__init__()
        self.bar = TabBar(keys)

    def compose(self) -> ComposeResult:
        yield self.bar


@pytest.mark.parametrize("width", [MIN_WIDTH, 80, 200])
@pytest.mark.parametrize("current", TABS.values())
async def test_every_tab_is_named_in_full_with_its_key_where_there_is_room(width: int, current: str) -> None:
    app = Bar()
    async with app.run_test(size=(width, 3)) as pilot:
        app.bar.show(current)
        await pilot.pause()
        said = str(app.bar.render())
        assert len(said) <= width - 2 and f"[{current}]" in said
        for number, name in enumerate(TABS.values(), start=2):
            key = f"F{number}" if width > MIN_WIDTH else ""
            assert f"{key}[{name}]" in said or f"{key} {name}" in said


async def test_long_keys_give_way_to_the_names() -> None:
    app = Bar(remap({action: [f"ctrl+alt+f{number}"] for number, action in enumerate(TABS, start=2)}))
    async with app.run_test(size=(MIN_WIDTH, 3)) as pilot:
        app.bar.show("log")
        await pilot.pause()
        assert str(app.bar.render()).split() == ["charts", "run", "preview", "events", "[log]", "config", "layers"]

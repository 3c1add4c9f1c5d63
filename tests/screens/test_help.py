"""The lines of the help are wrapped for the width of the box, so that none begins again at its edge."""

from __future__ import annotations

import pytest
from textual.app import App
from textual.widgets import Static

from cockpit.preferences.keymap import KEYS
from cockpit.ui.screens.help import KeyMapScreen, RunKeysScreen

UNSUPPORTED = {"demote": "not now: the run has not recorded a state yet, so that no command can be sent to it"}


class HelpStage(App[None]):
    CSS_PATH = "../../cockpit/app/app.tcss"


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("screen", [lambda: KeyMapScreen(KEYS, UNSUPPORTED), lambda: RunKeysScreen(KEYS)])
async def test_no_line_of_the_help_is_wrapped_once_more(screen, width) -> None:
    app = HelpStage()
    async with app.run_test(size=(width, 24)) as pilot:
        await app.push_screen(screen())
        await pilot.pause()
        for static in app.screen.query(Static):
            lines = str(static.render()).split("\n")
            assert static.size.height == len(lines)
            assert max(map(len, lines)) <= static.size.width

"""Processes of screens: one `main.py attach` for each connection of a browser."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from textual_serve.app_service import AppService

from cockpit.terminal.terminal import BROWSER_DRIVER, DRIVER_VARIABLE

SECONDS_TO_STOP: Final = 5.0
_LEAST, _MOST = 10, 500
"""Bounds of a screen's columns and lines."""

_OF_THE_TERMINAL: Final = ("TMUX", "STY", "ZELLIJ", "KITTY_WINDOW_ID")
"""Variables that describe the terminal of the server, which is not the one that draws."""


class ScreenProcess(AppService):
    """A screen in a process of its own, without a shell; it is killed if it does not end."""

    def __init__(self, words: Sequence[str], **settings: Any) -> None:  # textual-serve's keywords
        super().__init__(words[0], **settings)
        self._words = words

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        environment = self._build_environment(*(min(max(size, _LEAST), _MOST) for size in (width, height)))
        environment |= {DRIVER_VARIABLE: BROWSER_DRIVER, "TERM": "xterm-256color", "TEXTUAL_FPS": "30"}
        for name in _OF_THE_TERMINAL:
            environment.pop(name, None)
        process = await asyncio.create_subprocess_exec(
            *self._words, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
        )
        self._process = process
        self._stdin = process.stdin
        return process

    async def run(self) -> None:
        """Pass on packets until the screen ends, then close the connection, also if the screen did not begin."""
        with suppress(asyncio.CancelledError):  # of a process that ends at its start, by an inner task
            await super().run()
        await self.remote_close()

    async def set_terminal_size(self, width: int, height: int) -> None:
        """Resize the screen, within bounds."""
        await super().set_terminal_size(*(min(max(int(size), _LEAST), _MOST) for size in (width, height)))

    async def stop(self) -> None:
        """Ask the screen to end, and kill it if it does not."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        await self.send_meta({"type": "quit"})
        self.stdin.close()  # which ends a screen that does not read any more
        try:
            await asyncio.wait_for(process.wait(), SECONDS_TO_STOP)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await super().stop()

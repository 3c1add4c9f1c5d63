"""A child process that restores the terminal after the program was killed."""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Set
from contextlib import suppress
from typing import Any, Final

_IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTOU, signal.SIGTSTP, signal.SIGPIPE)


class TerminalGuard:
    """Writes `give_back` to `terminal` and sets `attributes` if this process dies before `dismiss`.

    After SIGKILL, a crash in native code or the out-of-memory killer, the program cannot do that itself. Create it
    before other threads exist.
    """

    def __init__(self, terminal: int, give_back: bytes, attributes: list[Any]) -> None:
        watched, self._alive = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            _watch(watched, terminal, give_back, attributes)
        os.close(watched)
        os.set_blocking(self._alive, False)
        # A worker process that is forked later must not keep the pipe open after the end of the program.
        os.register_at_fork(after_in_child=self._let_go)

    def dismiss(self) -> None:
        """End the child, as the terminal is restored already."""
        if self._alive < 0:
            return
        with suppress(OSError):
            os.write(self._alive, b".")
        self._let_go()
        with suppress(ChildProcessError):
            os.waitpid(self._child, 0)

    def _let_go(self) -> None:
        alive, self._alive = self._alive, -1
        if alive >= 0:
            os.close(alive)


def _watch(watched: int, terminal: int, give_back: bytes, attributes: list[Any]) -> None:
    """Run the child: wait for the dismissal or the end of the parent. Never returns."""
    try:
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        _close_all_but({watched, terminal})
        if not os.read(watched, 1):
            _restore(terminal, give_back, attributes)
    finally:
        os._exit(0)


def _close_all_but(kept: Set[int]) -> None:
    for descriptor in set(range(256)) - kept:
        with suppress(OSError):
            os.close(descriptor)


def _restore(terminal: int, give_back: bytes, attributes: list[Any]) -> None:
    with suppress(OSError, termios.error):
        os.write(terminal, give_back)
        if attributes:
            termios.tcsetattr(terminal, termios.TCSANOW, attributes)

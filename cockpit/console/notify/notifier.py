"""The program's side of notifications: start their process, name the run, and end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from select import select
from typing import Any, Final

from engine.errors import UserError

SECONDS_AT_END: Final = 5.0
"""Seconds that the program waits at its end for messages to be delivered; their process then goes on alone."""

_SECONDS_TO_START: Final = 60.0

_ROOT: Final = Path(__file__).resolve().parents[3]
_SOURCE: Final = "import sys; sys.path.insert(0, sys.argv[1]); from cockpit.console.notify.process import main; main()"

Tell = Callable[[Path, bool], None]
"""Names the run to follow, and whether it is resumed; to be called before its training begins."""


@contextmanager
def notifying(urls: Sequence[str]) -> Generator[Tell]:
    """Send notifications to `urls` during the block about the run that is named.

    The process is a child, as importing apprise would stop the training's thread for a second. Raises UserError for a
    wrong address.
    """
    if not urls:
        yield lambda run_dir, is_resumed: None
        return
    if find_spec("apprise") is None:
        raise UserError("notifications need the package apprise: pip install 'training-cockpit[notify]'")
    notifier = _Notifier(urls)
    try:
        notifier.check()
        yield notifier.tell
    finally:
        notifier.end()


class _Notifier:
    """The child process; addresses go to its standard input, as arguments of a process can be read by all users."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", _SOURCE, str(_ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl+C in the terminal is for the training
        )
        self._has_run = False
        self._order({"urls": list(urls)})

    def check(self) -> None:
        """Wait until the addresses were checked. Raises UserError for a wrong one, without its secrets."""
        wrong = self._answer().get("wrong")
        if wrong is None:
            raise UserError("the process of notifications could not start: try again without notify")
        if wrong:
            raise UserError(
                f"apprise knows no such address for notifications as {', '.join(wrong)}: write it like ntfy://my-topic"
            )

    def tell(self, run_dir: Path, is_resumed: bool) -> None:
        """Name the run, and wait until it is watched."""
        self._order({"run": str(run_dir.absolute()), "is_resumed": is_resumed, "since": time.time()})
        self._has_run = bool(self._answer())

    def end(self) -> None:
        """Let the process send what is left, and wait for it a few seconds."""
        self._order({"end": True})
        for pipe in filter(None, (self._child.stdin, self._child.stdout)):
            with suppress(OSError):
                pipe.close()
        if not self._has_run:
            self._child.kill()
        try:
            self._child.wait(SECONDS_AT_END)
        except subprocess.TimeoutExpired:
            self._child.returncode = 0  # it goes on alone, which is no leak to warn of

    def _order(self, order: dict[str, Any]) -> None:
        assert self._child.stdin is not None
        with suppress(OSError, ValueError):
            self._child.stdin.write(f"{json.dumps(order)}\n".encode())
            self._child.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        """Return the next answer, an empty one if the process has ended or is silent for too long."""
        pipe = self._child.stdout
        assert pipe is not None
        if not select([pipe], [], [], _SECONDS_TO_START)[0]:
            return {}
        line = pipe.readline()
        found: dict[str, Any] = json.loads(line) if line.strip() else {}
        return found

"""A run in a thread of its own, beside whoever watches it in the same process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread

from engine.errors import UserError
from engine.host.interrupt import Interrupt


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its exit code, and the sentence for a mistake of the user (code 2) or a fault (code 1)."""

    code: int
    error: str = ""


class BackgroundRun:
    """Calls `train`, which returns an exit code, in a thread that begins with `start`."""

    def __init__(self, train: Callable[[], int], interrupt: Interrupt) -> None:
        self._train = train
        self._interrupt = interrupt
        self._ended: Ended | None = None
        self._over = Event()
        self._thread = Thread(target=self._work, name="engine", daemon=True)

    def start(self) -> None:
        """Begin, unless it has begun or was stopped before."""
        if self._ended is not None or self._thread.is_alive():
            return
        if self._interrupt.is_set():
            self._end(Ended(self._interrupt.exit_code()))
        else:
            self._thread.start()

    def stop(self, signal: int = 0) -> None:
        """Ask for the end at the next step boundary, with a checkpoint; `signal` is the number of the one that asks."""
        self._interrupt.ask(signal)

    def is_stopped(self) -> bool:
        """Whether the end was asked for."""
        return self._interrupt.is_set()

    def ending(self) -> Ended | None:
        """How it ended; None while it goes on."""
        return self._ended

    def wait(self, seconds: float | None = None) -> Ended | None:
        """How it ended, after `seconds` at most; one that never began does not end. Signals are handled meanwhile."""
        self._over.wait(seconds)
        return self._ended

    def _work(self) -> None:
        """The thread's root: a fault that the engine did not see itself, a package that cannot be loaded say."""
        try:
            ended = Ended(self._train())
        except UserError as error:
            ended = Ended(2, str(error))
        except BaseException as error:
            logging.getLogger(__name__).error("the engine could not run: %s", error, exc_info=error)
            ended = Ended(1, f"{type(error).__name__}: {error}")
        self._end(ended)

    def _end(self, ended: Ended) -> None:
        self._ended = ended
        self._over.set()

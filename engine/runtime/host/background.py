"""A run in its own thread, while the main thread shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread

from engine.errors import UserError, in_words
from engine.runtime.host.interrupt import Interrupt


@dataclass(frozen=True, slots=True)
class Ended:
    """Result of a run: its exit code, and the message of a user mistake (code 2) or a fault (code 1)."""

    code: int
    error: str = ""


class BackgroundRun:
    """Calls `train`, which returns an exit code, in its own thread after `start`."""

    def __init__(self, train: Callable[[], int], interrupt: Interrupt) -> None:
        self._train = train
        self._interrupt = interrupt
        self._ended: Ended | None = None
        self._over = Event()
        self._thread = Thread(target=self._work, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread, unless it was started or stopped before."""
        if self._ended is not None or self._thread.is_alive():
            return
        if self._interrupt.is_set():
            self._end(Ended(self._interrupt.exit_code()))
        else:
            self._thread.start()

    def stop(self, signal: int = 0) -> None:
        """Request the end at the next step boundary, with a checkpoint. `signal` is the requesting signal's number."""
        self._interrupt.ask(signal)

    def is_stopped(self) -> bool:
        """Return whether the end was requested."""
        return self._interrupt.is_set()

    def holds_program(self) -> bool:
        """Return whether a program would outlive this process."""
        return self._interrupt.holds_program

    def ending(self) -> Ended | None:
        """Return the result, or `None` while the run continues."""
        return self._ended

    def wait(self, seconds: float | None = None) -> Ended | None:
        """Return the result after at most `seconds`, or `None`. A run that was not started has no result.

        Signals are handled while waiting.
        """
        self._over.wait(seconds)
        return self._ended

    def _work(self) -> None:
        """Run the thread, and log a fault that the engine did not catch, such as a failed import."""
        try:
            ended = Ended(self._train())
        except UserError as error:
            ended = Ended(2, str(error))
        except BaseException as error:
            logging.getLogger(__name__).error("the engine could not run: %s", error, exc_info=error)
            ended = Ended(1, in_words(error))
        self._end(ended)

    def _end(self, ended: Ended) -> None:
        self._ended = ended
        self._over.set()

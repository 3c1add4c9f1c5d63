"""Quit handling: confirm, stop the run with a checkpoint, close the screen."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cockpit.app.controller import SessionController
    from cockpit.app.training_handle import RunResult, TrainingHandle


class Shutdown:
    """Calls `close` when a quit was requested and the training, if there is one, has ended."""

    def __init__(self, training: TrainingHandle | None, close: Callable[[], object]) -> None:
        self._training = training
        self._close = close
        self._controller: SessionController | None = None
        self._ending: RunResult | None = None
        self._is_leaving = False
        self._heard: deque[int] = deque()
        self._was_asked = False
        self._was_interrupted = False

    @property
    def awaits_start(self) -> bool:
        """Return whether a training was given and has not ended."""
        return self._training is not None and self._training.ending() is None

    def begin(self, controller: SessionController) -> None:
        """Start the training, if there is one; ask about a quit that a key requested before there was a main screen."""
        self._controller = controller
        if self._training is not None:
            self._training.start()
        if self._was_asked:
            self.ask()

    def watch(self) -> None:
        """Check whether the training has ended: close if a quit waits for that, else show how it ended and stay.

        A scheduler that ended it waits for the exit code, so the screen closes then too.
        """
        if self._training is None or self._ending is not None:
            return
        self._ending = ending = self._training.ending()
        if ending is None:
            return
        if self._is_leaving or ending.code > 1:
            self._close()
        elif self._controller is not None:
            self._controller.say_ended(ending)

    def hear(self, number: int) -> None:
        """Remember a signal until `answer`. Its handler may call this at any moment."""
        self._heard.append(number)

    def answer(self) -> None:
        """Handle the signals that were heard."""
        while self._heard:
            self._on_signal(self._heard.popleft())

    def _on_signal(self, number: int) -> None:
        """Close once the training has its checkpoint, or now if it has ended or the terminal was closed."""
        if number == signal.SIGHUP or self._ending is not None or self._training is None:
            self._close()
        else:
            self._wait()

    def interrupt(self) -> None:
        """Handle Ctrl+C: the first asks, the second confirms, the third ends the process.

        If no training would end, the second leaves.
        """
        if self._training is None and self._controller is not None and not self._was_interrupted:
            self._was_interrupted = True
            said = "ctrl+c again leaves the screen; the run is not affected"
            self._controller.screen.notify(said, markup=False)
            return
        if self._is_leaving and self._ending is None:
            for _ in range(2):  # the first one alone would only ask for the checkpoint again
                signal.raise_signal(signal.SIGINT)
        self.ask()

    def ask(self) -> None:
        """Close immediately if no training would end; otherwise ask, and take a second request as confirmation."""
        if self._controller is None:
            self._was_asked = True
        elif self._training is None or self._ending is not None:
            self._close()
        elif not self._controller.confirm_quit() and not self._is_leaving:
            self._controller.ask_to_quit(self._answered)

    def _answered(self, stop: bool | None) -> None:
        if not stop or self._training is None:
            return
        if self._controller is None or not self._controller.stop():
            self._training.stop()
        self._wait()

    def _wait(self) -> None:
        self._is_leaving = True
        if self._controller is not None:
            self._controller.say_stopping()
        self.watch()

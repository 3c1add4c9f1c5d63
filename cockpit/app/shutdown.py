"""How a screen is left: asked for by key or signal, once the training has its checkpoint, or when it ends by itself."""

from __future__ import annotations

import signal
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App

    from cockpit.app.controller import SessionController
    from cockpit.app.training_handle import RunResult, TrainingHandle


class Shutdown:
    """Knows whether the training goes on and whether somebody wants to leave; ends `app` when both allow it."""

    def __init__(self, app: App[Any], training: TrainingHandle | None) -> None:
        self.controller: SessionController | None = None
        self._app = app
        self._training = training
        self._ending: RunResult | None = None
        self._is_leaving = False
        self._has_begun = False
        self._heard: deque[int] = deque()
        self._was_asked = False

    @property
    def awaits_start(self) -> bool:
        """Whether there is a training that has not ended: the run is to be begun, or to be taken up again."""
        return self._training is not None and self._training.ending() is None

    def begin(self) -> None:
        """Start the training, if there is one; ask what a key asked for before there was a screen to ask it on."""
        self._has_begun = True
        if self._training is not None:
            self._training.start()
        if self._was_asked:
            self.ask()

    def watch(self) -> None:
        """Look whether the training has ended: leave where that was waited for, else say how it ended, and stay."""
        if self._training is None or self._ending is not None:
            return
        self._ending = ending = self._training.ending()
        if ending is None:
            return
        if self._is_leaving or ending.code == 2:
            self._app.exit()
        elif self.controller is not None:
            self.controller.say_ended(ending)

    def hear(self, number: int) -> None:
        """Remember a signal until `answer`; for its handler, at any moment."""
        self._heard.append(number)

    def answer(self) -> None:
        """Do what the signals ask for that were heard."""
        while self._heard:
            self._on_signal(self._heard.popleft())

    def _on_signal(self, number: int) -> None:
        """Leave when the training has its checkpoint: immediately if it has ended or the terminal was closed."""
        if number == signal.SIGHUP or self._ending is not None or self._training is None:
            self._app.exit()
        else:
            self._wait()

    def interrupt(self) -> None:
        """Ctrl+C: ask, take a second one for yes, and end the process at a third one."""
        if self._is_leaving and self._ending is None:
            for _ in range(2):  # the first one alone would only ask for the checkpoint again
                signal.raise_signal(signal.SIGINT)
        self.ask()

    def ask(self) -> None:
        """Leave at once where no training would end by it; else ask, and take a second time for yes."""
        from cockpit.screens.quit import QuitScreen  # noqa: PLC0415 - not in the first frame

        if not self._has_begun:
            self._was_asked = True
        elif self._training is None or self._ending is not None:
            self._app.exit()
        elif isinstance(self._app.screen, QuitScreen):
            self._app.screen.dismiss(True)
        elif not self._is_leaving:
            self._app.push_screen(QuitScreen(), self._answered)

    def _answered(self, stop: bool | None) -> None:
        if not stop or self._training is None:
            return
        if self.controller is None or not self.controller.stop():
            self._training.stop()
        self._wait()

    def _wait(self) -> None:
        self._is_leaving = True
        if self.controller is not None:
            self.controller.say_stopping()
        self.watch()

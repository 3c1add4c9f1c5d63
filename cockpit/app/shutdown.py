"""Quit handling: confirm, stop the run with a checkpoint or detach from it, close the screen."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from engine.protocol.commands import SaveCheckpoint, Stop
from engine.protocol.events import Activity, Status

if TYPE_CHECKING:
    from textual.app import App

    from cockpit.app.controllers.controller import SessionController
    from cockpit.app.training_handle import RunResult, TrainingHandle
    from cockpit.ui.screens.quit import QuitAnswer

NOT_HERE: Final = "not needed on this screen: to leave it is enough, the run goes on"


class Shutdown:
    """Calls `close` when a quit was requested and the training, if there is one, has ended, or after `detach`.

    `cannot_detach` is the reason why the training cannot go on without the screen; empty if it can.
    """

    def __init__(
        self, training: TrainingHandle | None, close: Callable[[], object], cannot_detach: str = NOT_HERE
    ) -> None:
        self.is_detached = False
        """Whether the screen is closed so that the training goes on without it."""
        self._training = training
        self._close = close
        self._cannot_detach = cannot_detach
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
        controller.withhold("detach", self._why_not_detach())
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
        if self._controller is not None:
            self._controller.withhold("detach", self._why_not_detach())
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
        elif not self._confirm(self._controller.screen.app) and not self._is_leaving:
            from cockpit.ui.screens.quit import QuitScreen  # noqa: PLC0415 - not in the first frame

            question = QuitScreen(self._why_not_detach, saves=self._saves)
            self._controller.screen.app.push_screen(question, self._answered)

    def _confirm(self, app: App[Any]) -> bool:
        """Answer the question with a stop; return False if it is not open."""
        from cockpit.ui.screens.quit import QuitScreen  # noqa: PLC0415 - as above

        if not isinstance(question := app.screen, QuitScreen):
            return False
        question.action_answer("stop")
        return True

    def detach(self) -> None:
        """Close the screen and let the training go on without it, or show the reason why it cannot."""
        if self._controller is None:
            return
        if reason := self._why_not_detach():
            self._controller.screen.notify(f"detach: {reason}", severity="warning", markup=False)
        else:
            self.is_detached = True
            self._close()

    def _why_not_detach(self) -> str:
        """Return why the screen cannot be closed without stopping the training; empty string if it can."""
        if self._training is None or self._cannot_detach:
            return self._cannot_detach or NOT_HERE
        if self._ending is not None:
            return "the training has ended"
        if self._is_leaving:
            return "the run is stopping"
        # A mistake that is found while the training starts has to be shown to the person who can correct it.
        state = None if self._controller is None else self._controller.session.state
        return "the training has not begun" if state is None or state.activity is Activity.STARTING else ""

    @property
    def _saves(self) -> bool:
        """Whether a stop writes a checkpoint."""
        return self._controller is None or not self._controller.session.spec.why_unsupported(SaveCheckpoint.op)

    def _stop(self) -> bool:
        """Ask the run to stop with a checkpoint; return False if it takes no command."""
        if self._controller is None:
            return False
        return self._controller.session.send(Stop("quit in the cockpit")).status is not Status.REFUSED

    def _answered(self, answer: QuitAnswer | None) -> None:
        if answer == "detach":
            self.detach()
        if answer != "stop" or self._training is None:
            return
        if not self._stop():
            self._training.stop()
        self._wait()

    def _wait(self) -> None:
        self._is_leaving = True
        if self._controller is not None:
            does = "the checkpoint is written" if self._saves else "the step is finished"
            self._controller.screen.say_ended([f"stopping: {does}, then the screen closes"])
        self.watch()

"""The program with a planted fault, chosen by the first argument."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from torch import Tensor

from engine.tasks.person.losses import terms
from engine.tasks.person.losses.class_losses import soft_dice
from engine.training.gradients.step_report import PendingReport
from engine.training.step import TrainStep

_calls = 0


def _wrap(at: int, do: Callable[[Tensor], Tensor]) -> None:
    """Let `do` change the dice loss at its call number `at`."""

    def dice(*arguments: Any) -> Tensor:
        global _calls  # noqa: PLW0603
        _calls += 1
        value = soft_dice(*arguments)
        return do(value) if _calls == at else value

    terms.soft_dice = dice


def _fail(value: Tensor) -> Tensor:
    raise RuntimeError("the dice is loaded [red]\x1b[31m")


def _chatter(value: Tensor) -> Tensor:
    """Write in every way that could disturb a screen."""
    print("a print")
    print("\x1b[2J\x1b[Ha clearing print", file=sys.stderr)
    os.write(1, b"a native write to 1\n")
    os.write(2, b"a native write to 2\n")
    subprocess.run(["echo", "a child process"], check=True)
    warnings.warn("a warning", stacklevel=1)
    return value


def _break_header() -> None:
    from cockpit.ui.panels.status.header import Header

    def take(self: Header, *update: object) -> None:
        raise ZeroDivisionError("a broken header")

    Header.apply_update = take


def _break_screen() -> None:
    from cockpit.app.controllers.controller import SessionController

    def poll(self: SessionController) -> None:
        raise ZeroDivisionError("a broken screen")

    SessionController.poll = poll


def _pace() -> None:
    """Take a tenth of a second for a step: for tests that last, and of which the speed is no part."""
    run = TrainStep.run

    def run_slowly(self: TrainStep, *arguments: Any) -> PendingReport:
        time.sleep(0.1)
        return run(self, *arguments)

    TrainStep.run = run_slowly  # type: ignore[method-assign]


POISONS: dict[str, Callable[[], None]] = {
    "nan": lambda: _wrap(20, lambda value: value * math.nan),
    "failure": lambda: _wrap(20, _fail),
    "chatter": lambda: _wrap(20, _chatter),
    "header": _break_header,
    "screen": _break_screen,
    "pace": _pace,
}

if __name__ == "__main__":
    from main import main

    POISONS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))

"""A run in a thread: it ends with a code, a message or a fault, and can be stopped before it starts."""

from __future__ import annotations

import signal

import pytest

from engine.errors import UserError
from engine.runtime.host.background import BackgroundRun, Ended
from engine.runtime.host.interrupt import Interrupt


def ended(train: object, interrupt: Interrupt | None = None) -> Ended | None:
    run = BackgroundRun(train, interrupt or Interrupt())  # type: ignore[arg-type]
    run.start()
    return run.wait(10)


def raising(error: BaseException):
    def train() -> int:
        raise error

    return train


@pytest.mark.parametrize("code", [0, 1, 143])
def test_the_exit_code_is_the_engines(code):
    assert ended(lambda: code) == Ended(code)


def test_a_mistake_of_the_user_is_a_sentence_and_code_2():
    assert ended(raising(UserError("there is no such config"))) == Ended(2, "there is no such config")


def test_a_fault_is_logged_and_told(caplog):
    assert ended(raising(ImportError("no torch"))) == Ended(1, "ImportError: no torch")
    assert "no torch" in caplog.text and "Traceback" in caplog.text


@pytest.mark.parametrize(("number", "code"), [(0, 0), (signal.SIGTERM, 143)])
def test_a_run_that_was_stopped_before_it_began_never_begins(number, code):
    begun = []
    run = BackgroundRun(lambda: begun.append(1) or 0, Interrupt())
    run.stop(number)
    run.start()
    assert run.ending() == Ended(code) and not begun


def test_the_first_signal_decides_the_exit_code():
    interrupt = Interrupt()
    run = BackgroundRun(lambda: 0, interrupt)
    run.stop(signal.SIGHUP)
    run.stop(signal.SIGTERM)
    assert interrupt.signal == signal.SIGHUP and interrupt.is_set()


def test_starting_twice_is_starting_once():
    begun = []
    run = BackgroundRun(lambda: begun.append(1) or 0, Interrupt())
    run.start()
    run.wait(10)
    run.start()
    assert run.wait(10) == Ended(0) and begun == [1]

"""Requests of signals: what each means to a run, and the exit code."""

from __future__ import annotations

import os
import signal

import pytest

from engine.config.signal_reactions import Reactions
from engine.runtime.host.interrupt import Interrupt, signals_to
from engine.runtime.host.time_limit import TimeLimit


def _heard(*numbers: int, reactions: Reactions | None = None) -> Interrupt:
    interrupt = Interrupt()
    if reactions is not None:
        interrupt.react_as(reactions)
    for number in numbers:
        interrupt.ask(number)
    return interrupt


def test_a_users_signal_asks_for_a_checkpoint_once_and_does_not_end_the_run() -> None:
    interrupt = _heard(signal.SIGUSR1, signal.SIGUSR1)
    assert not interrupt.is_set() and interrupt.exit_code() == 0
    assert interrupt.take_checkpoint() == signal.SIGUSR1
    assert interrupt.take_checkpoint() == 0


def test_the_signal_of_a_scheduler_ends_an_incomplete_run_with_its_code() -> None:
    interrupt = _heard(signal.SIGUSR2)
    assert interrupt.is_set() and interrupt.exit_code() == 85
    assert interrupt.cause() == ("signal", f"signal {int(signal.SIGUSR2)}")
    interrupt.is_complete = True
    assert interrupt.exit_code() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_another_signal_keeps_its_code_even_if_the_run_is_complete(number: int) -> None:
    interrupt = _heard(number, signal.SIGUSR2)
    interrupt.is_complete = True
    assert interrupt.exit_code() == 128 + number


def test_signals_mean_what_the_configuration_says_also_those_that_came_before_it() -> None:
    interrupt = _heard(signal.SIGUSR1, signal.SIGTERM)
    interrupt.react_as(Reactions(checkpoint=0, requeue=signal.SIGTERM, requeue_code=99))
    assert interrupt.take_checkpoint() == 0, "SIGUSR1 means nothing now"
    assert interrupt.exit_code() == 99
    swapped = _heard(signal.SIGUSR2)
    swapped.react_as(Reactions(checkpoint=signal.SIGUSR2, requeue=signal.SIGUSR1))
    assert not swapped.is_set() and swapped.checkpoint == signal.SIGUSR2


def test_a_users_signal_without_a_meaning_is_ignored() -> None:
    interrupt = _heard(signal.SIGUSR1, signal.SIGUSR2, reactions=Reactions(checkpoint=0, requeue=0))
    assert not interrupt.is_set() and not interrupt.checkpoint


def test_the_time_limit_ends_the_run_like_a_scheduler() -> None:
    now = [0.0]
    interrupt = Interrupt(limit=TimeLimit(100, "--time-limit 100s", clock=lambda: now[0]))
    assert not interrupt.is_set() and interrupt.exit_code() == 0
    now[0] = 99.0
    assert interrupt.exit_code() == 0, "nobody was told to end"
    assert interrupt.is_set() and interrupt.exit_code() == 85
    assert interrupt.cause() == ("time limit", "--time-limit 100s")


def test_a_stop_without_a_signal_is_the_screens_at_whatever_step() -> None:
    interrupt = Interrupt()
    interrupt.ask()
    assert interrupt.cause() == ("cockpit", "quit in the cockpit") and interrupt.exit_code() == 0


def test_users_signals_reach_the_interrupt_of_the_process() -> None:
    interrupt = Interrupt()
    with signals_to(interrupt):
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
    assert interrupt.checkpoint == signal.SIGUSR1 and interrupt.signal == signal.SIGUSR2


def test_a_signal_that_was_ignored_at_the_start_stays_ignored() -> None:
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    interrupt = Interrupt()
    try:
        with signals_to(interrupt):
            os.kill(os.getpid(), signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert not interrupt.is_set()

"""Signals before a run and after it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = """
import os, signal, sys
from engine.runtime.host.start_signals import end_on_signals

class SentLast:
    def __del__(self, kill=os.kill, process=os.getpid(), write=os.write):
        kill(process, {number})
        write(1, b"torn down")

signal.signal({number}, signal.SIG_DFL)  # the tests may have been started with it ignored
end_on_signals()
sys.held = SentLast()
{rest}
"""


def run(number: int, rest: str) -> tuple[int, bytes]:
    program = PROGRAM.format(number=number, rest=rest)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, check=False, timeout=60)
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_a_signal_that_comes_while_python_is_torn_down_does_not_replace_the_exit_code(name: str) -> None:
    assert run(signal.Signals[name], "sys.exit(85)") == (85, b"torn down")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_before_a_run_ends_the_process(name: str) -> None:
    number = signal.Signals[name]
    assert run(number, "del sys.held; sys.exit(85)") == (128 + number, b"")

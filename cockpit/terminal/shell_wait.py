"""The process that a shell waits for, while its child trains: it passes signals on, and ends as the child does."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from types import FrameType
from typing import Final, NoReturn

PASSED_ON: Final = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGTSTP", "SIGWINCH", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)


TOLD: Final = b"."
"""What a child that leaves writes to the waiting process."""


def pass_terminal(holder: int, heir: int) -> None:
    """Make the process group `heir` the terminal's foreground, if the group `holder` is."""
    with suppress(OSError):  # standard input may be another terminal than the shell's, or closed by now
        if os.tcgetpgrp(0) == holder:
            os.tcsetpgrp(0, heir)


def wait_for(child: int, group: int, hears: int) -> NoReturn:
    """Wait for the child: pass signals on, stop and continue with it, and end with it or when it leaves its `group`."""
    with suppress(OSError):  # it may have ended already
        os.setpgid(child, group)
    heard = _hear_signals()
    sources = [heard, hears]
    while True:
        ready = select.select(sources, [], [])[0]
        if hears in ready:
            _end_if_told(hears, group)
            sources.remove(hears)  # the child is about to end
        numbers = set(os.read(heard, 4096)) if heard in ready else set[int]()
        if signal.SIGCONT in numbers:  # first: the child may have stopped while this process was stopped
            pass_terminal(os.getpgrp(), group)
            os.killpg(group, signal.SIGCONT)
        for number in numbers.intersection(PASSED_ON):
            os.kill(child, number)
        if signal.SIGCHLD in numbers:
            _follow(child, group)


def _end_if_told(hears: int, group: int) -> None:
    """End, with the terminal back, if the child says that it leaves its `group`."""
    if os.read(hears, 1) == TOLD:
        pass_terminal(group, os.getpgrp())
        os._exit(0)


def _hear_signals() -> int:
    """Return a descriptor from which the numbers of signals are read; those ignored at the start stay ignored."""
    heard, wake = os.pipe()
    for descriptor in (heard, wake):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    heeded = {number for number in PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN}
    for number in (*heeded, signal.SIGCHLD, signal.SIGCONT):
        signal.signal(number, _note)
    for number in (signal.SIGTTOU, signal.SIGTTIN):  # it may be in the background when it takes the terminal back
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*PASSED_ON, signal.SIGCHLD, signal.SIGCONT})
    return heard


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: with a handler in Python, the number of the signal is written to the wakeup descriptor."""


def _follow(child: int, group: int) -> None:
    """Stop if the child has stopped, and end if it has ended."""
    done, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
    if not done:
        return
    pass_terminal(group, os.getpgrp())
    if os.WIFSTOPPED(status):
        _stop(os.WSTOPSIG(status))
        return
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        _die_by(-code)
    os._exit(code if code >= 0 else 128 - code)


def _stop(number: int) -> None:
    """Stop as the child has by signal `number`.

    The kernel ignores SIGTSTP if no shell could continue this process. Then the child goes on too.
    """
    if number != signal.SIGTSTP:
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, before)
    os.kill(os.getpid(), signal.SIGCONT)


def _die_by(number: int) -> None:
    """End by the child's signal, which shells name; without a second core file."""
    import resource  # noqa: PLC0415 - rarely needed

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)

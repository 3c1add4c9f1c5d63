"""The process that a shell waits for, in front of the one that trains, so that the shell can have its prompt back.

The waiting process passes signals on and ends with the exit code of its child, or earlier if the child leaves it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final, NoReturn

_PASSED_ON: Final = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGTSTP", "SIGWINCH", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
_TOLD: Final = b"."
"""What a child that leaves writes to the waiting process."""


class ShellJob:
    """This process as the child of one that a shell waits for. `why_not` is empty, or why it cannot leave the shell."""

    def __init__(self, why_not: str, parent: int = -1, told: int = -1) -> None:
        self.why_not = why_not
        self.has_left = False
        self._parent = parent
        self._told = told

    def is_abandoned(self) -> bool:
        """Return whether the waiting process was killed. Takes microseconds."""
        if self._parent < 0:
            return False
        poll = select.poll()
        poll.register(self._parent, 0)
        return bool(poll.poll(0))

    def leave(self) -> None:
        """Become independent of the terminal and its shell, which gets its prompt back; a second call has no effect.

        The caller has restored the terminal and has closed its descriptors of it.
        """
        if self._parent < 0:
            return
        self.has_left = True
        with suppress(OSError):
            os.setsid()
        with suppress(OSError):
            os.write(self._told, _TOLD)
        for descriptor in (self._parent, self._told):
            os.close(descriptor)
        self._parent = self._told = -1


_begun: Final[list[ShellJob]] = []
"""The job that this process is the child of, if any."""


def wants_job(words: Sequence[str]) -> bool:
    """Return whether the program with these words is likely to train behind a screen on its terminal.

    The words are not parsed yet. If the answer is wrong, one process more waits, or the job begins later.
    """
    trains = not words or words[0].startswith("-") or words[0] == "run"
    is_other = {"--no-ui", "--help", "-h", "--version"}.intersection(words)
    return trains and not is_other and os.isatty(0) and os.isatty(1)


def begin_job() -> ShellJob:
    """Divide this process in two and return in the child: the parent waits for it and ends.

    Call it before other threads exist, and early: the memory of what is loaded later need not be copied. A second call
    returns the same job.
    """
    if _begun:
        return _begun[0]
    if reason := _why_not():
        return ShellJob(reason)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    with _blocked({*_PASSED_ON, signal.SIGCHLD, signal.SIGCONT, signal.SIGTTOU}):
        own_group, group = os.getpgrp(), 0
        descriptors: list[int] = []
        try:
            descriptors += os.pipe()
            group = _begin_group(*descriptors)
            descriptors += (*os.pipe(), *os.pipe())
            child = os.fork()
        except OSError as error:
            for descriptor in descriptors:
                os.close(descriptor)
            if group:
                os.waitpid(group, 0)
            return ShellJob(f"no second process could be started: {error.strerror}")
        waits, holds, lives, alive, hears, told = descriptors
        if child == 0:
            for descriptor in (waits, holds, alive, hears):
                os.close(descriptor)
            os.setpgid(0, group)
            _pass_terminal(own_group, group)
            _begun.append(ShellJob("", lives, told))
            return _begun[0]
        try:
            for descriptor in (waits, lives, told):
                os.close(descriptor)
            _wait_for(child, group, hears)
        finally:  # whatever happens, this process never goes on as a second cockpit
            os._exit(1)


def _why_not() -> str:
    """Return why this process is not to be divided; empty string if it can be."""
    if not hasattr(os, "fork"):
        return "this system cannot divide a process"
    return "the training is the first process of a container, which ends with it" if os.getpid() == 1 else ""


def _begin_group(waits: int, holds: int) -> int:
    """Return a process group for the child, whose leader does nothing until each `holds`, the end of a pipe, is closed.

    If the child led it, it could not become independent of the terminal while its own children are in the group.
    """
    leader = os.fork()
    if leader == 0:
        for descriptor in (0, 1, 2, holds):
            with suppress(OSError):
                os.close(descriptor)
        os.read(waits, 1)
        os._exit(0)
    os.setpgid(leader, leader)
    return leader


@contextmanager
def _blocked(numbers: set[signal.Signals]) -> Generator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _pass_terminal(holder: int, heir: int) -> None:
    """Make the process group `heir` the terminal's foreground, if the group `holder` is."""
    with suppress(OSError):  # standard input may be another terminal than the shell's, or closed by now
        if os.tcgetpgrp(0) == holder:
            os.tcsetpgrp(0, heir)


# --- the waiting process --------------------------------------------------------------------


def _wait_for(child: int, group: int, hears: int) -> NoReturn:
    """Wait for the child: pass signals on, stop and continue with it, and end with it or when it leaves its `group`."""
    with suppress(OSError):  # it may have ended already
        os.setpgid(child, group)
    heard = _hear_signals()
    sources = [heard, hears]
    while True:
        ready = select.select(sources, [], [])[0]
        if hears in ready:
            if os.read(hears, 1) == _TOLD:
                _pass_terminal(group, os.getpgrp())
                os._exit(0)
            sources.remove(hears)  # the child is about to end
        numbers = set(os.read(heard, 4096)) if heard in ready else set[int]()
        if signal.SIGCONT in numbers:  # first: the child may have stopped while this process was stopped
            _pass_terminal(os.getpgrp(), group)
            os.killpg(group, signal.SIGCONT)
        for number in numbers.intersection(_PASSED_ON):
            os.kill(child, number)
        if signal.SIGCHLD in numbers:
            _follow(child, group)


def _hear_signals() -> int:
    """Return a descriptor from which the numbers of signals are read; those ignored at the start stay ignored."""
    heard, wake = os.pipe()
    for descriptor in (heard, wake):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    heeded = {number for number in _PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN}
    for number in (*heeded, signal.SIGCHLD, signal.SIGCONT):
        signal.signal(number, _note)
    for number in (signal.SIGTTOU, signal.SIGTTIN):  # it may be in the background when it takes the terminal back
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_PASSED_ON, signal.SIGCHLD, signal.SIGCONT})
    return heard


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: with a handler in Python, the number of the signal is written to the wakeup descriptor."""


def _follow(child: int, group: int) -> None:
    """Stop if the child has stopped, and end if it has ended."""
    done, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
    if not done:
        return
    _pass_terminal(group, os.getpgrp())
    if os.WIFSTOPPED(status):
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        _die_by(-code)
    os._exit(code if code >= 0 else 128 - code)


def _die_by(number: int) -> None:
    """End by the child's signal, which shells name; without a second core file."""
    import resource  # noqa: PLC0415 - rarely needed

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)

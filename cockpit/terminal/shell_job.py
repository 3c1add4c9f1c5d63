"""Put a waiting process between the shell and the one that trains, so that the shell can have its prompt back.

The waiting process passes signals on and ends with the exit code of its child, or earlier if the child leaves it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

from cockpit.terminal.shell_wait import PASSED_ON, TOLD, pass_terminal, wait_for


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
            os.write(self._told, TOLD)
        _close(self._parent, self._told)
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
    with _blocked({*PASSED_ON, signal.SIGCHLD, signal.SIGCONT, signal.SIGTTOU}):
        own_group = os.getpgrp()
        try:
            child, group, descriptors = _divide()
        except OSError as error:
            return ShellJob(f"no second process could be started: {error.strerror}")
        waits, holds, lives, alive, hears, told = descriptors
        if child == 0:
            _close(waits, holds, alive, hears)
            os.setpgid(0, group)
            pass_terminal(own_group, group)
            _begun.append(ShellJob("", lives, told))
            return _begun[0]
        try:
            _close(waits, lives, told)
            wait_for(child, group, hears)
        finally:  # whatever happens, this process never goes on as a second cockpit
            os._exit(1)


def _divide() -> tuple[int, int, list[int]]:
    """Start a process group and a child for it; return both, the child as 0 in itself, and the ends of three pipes.

    Raises OSError, with nothing left over.
    """
    group, descriptors = 0, list[int]()
    try:
        descriptors += os.pipe()
        group = _begin_group(*descriptors)
        descriptors += (*os.pipe(), *os.pipe())
        return os.fork(), group, descriptors
    except OSError:
        _close(*descriptors)
        if group:
            os.waitpid(group, 0)
        raise


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


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
        _lead(waits, holds)
    os.setpgid(leader, leader)
    return leader


def _lead(waits: int, holds: int) -> NoReturn:
    for descriptor in (0, 1, 2, holds):
        with suppress(OSError):
            os.close(descriptor)
    os.read(waits, 1)
    os._exit(0)


@contextmanager
def _blocked(numbers: set[signal.Signals]) -> Generator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

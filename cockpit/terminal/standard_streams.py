"""Repair of standard streams that are closed, full or broken."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from typing import Final

_UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE)


def open_closed_streams() -> None:
    """Lead each closed descriptor of 0, 1 and 2 to /dev/null, and create Python's missing streams.

    Otherwise the next opened file would get that number and receive the program's output. Standard output is opened for
    reading only: a command that prints to it then fails, as it does on a full disk.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # the lowest number that is free is this one
            os.open(os.devnull, os.O_RDONLY if descriptor == 1 else os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def do_without_output() -> None:
    """Lead a standard output that was closed to /dev/null: a training needs no console, nor does what it imports."""
    if fcntl.fcntl(1, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        lead_nowhere(1)


def complain(sentence: str) -> None:
    """Print a sentence on standard error; ignore write errors."""
    try:
        print(sentence, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        lead_nowhere(2)


def why_unwritten(error: OSError) -> str:
    """Return why standard output failed; empty string if `error` has another cause, such as a named file."""
    return (error.strerror or "") if error.filename is None and error.errno in _UNWRITABLE else ""


def lead_nowhere(descriptor: int) -> None:
    """Lead a standard stream to /dev/null, so that the flush at the interpreter's exit cannot fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)

"""Standard streams that are closed, full or broken: nothing fails by them, and nothing lands in them by mistake."""

from __future__ import annotations

import errno
import os
import sys
from typing import Final

_UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE)


def open_closed_streams() -> None:
    """Lead each of the descriptors 0, 1 and 2 that is closed to /dev/null, and give Python the streams it lacks.

    A file that is opened later would otherwise get that number, and what is printed would be written into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def complain(sentence: str) -> None:
    """Print a sentence on standard error; one that cannot be written is dropped."""
    try:
        print(sentence, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        lead_nowhere(2)


def why_unwritten(error: OSError) -> str:
    """Return why standard output took no more, '' if `error` has another cause (one of a file names the file)."""
    return (error.strerror or "") if error.filename is None and error.errno in _UNWRITABLE else ""


def lead_nowhere(descriptor: int) -> None:
    """Let a standard stream lead to /dev/null, so that the flush at the interpreter's exit cannot fail either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)

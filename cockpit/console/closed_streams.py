"""Standard streams that were closed before the program began (`>&-`): nothing fails by them or lands in them."""

from __future__ import annotations

import os
import sys


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

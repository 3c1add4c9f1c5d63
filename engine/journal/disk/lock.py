"""Exclusive use of a file or directory by one process; the system releases it when that process dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType


class Lock:
    """An flock on the file `fd`, held until `release`; -1 for none. Child processes forked later do not hold it."""

    def __init__(self, fd: int):
        self._fd = fd
        os.register_at_fork(after_in_child=self._close)

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        self._close()

    @property
    def is_held(self) -> bool:
        """Whether the lock is held."""
        return self._fd >= 0

    def take_over(self, other: Lock) -> None:
        """Take the lock from `other`, which then holds none."""
        self._fd, other._fd = other._fd, -1

    def write(self, text: str) -> None:
        """Replace the content of the locked file by `text`; `try_lock` must have had flags for writing."""
        content = text.encode()
        os.pwrite(self._fd, content, 0)
        os.ftruncate(self._fd, len(content))

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def try_lock(path: Path, *, flags: int = os.O_RDONLY) -> Lock | None:
    """Return a lock on `path`, or `None` if it is already locked.

    `path` is a directory, or a file that `flags` may create with mode 0600.
    """
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return Lock(fd)

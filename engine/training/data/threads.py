"""Daemon threads that execute calls in order. They never keep the process alive, even if a disk hangs."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Crew(Generic[T]):
    """`size` daemon threads for calls that return T."""

    def __init__(self, size: int, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[T], Callable[..., T], tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._threads = [Thread(target=self._work, name=f"{name}_{i}", daemon=True) for i in range(size)]
        for thread in self._threads:
            thread.start()

    def submit(self, call: Callable[..., T], *arguments: Any) -> Future[T]:
        """Queue `call` for the next free thread."""
        future: Future[T] = Future()
        self._calls.put((future, call, arguments))
        return future

    def close(self, seconds: float) -> None:
        """End the threads. A thread that is still busy after `seconds` is abandoned."""
        for _ in self._threads:
            self._calls.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call, arguments = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call(*arguments))
            except BaseException as error:  # every error is raised again by the future's result
                future.set_exception(error)

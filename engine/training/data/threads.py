"""Threads that carry out calls in order, and that never keep a process alive: one may hang on a disk for ever."""

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
        """Have `call` carried out by the next thread that is free."""
        future: Future[T] = Future()
        self._calls.put((future, call, arguments))
        return future

    def close(self, seconds: float) -> None:
        """End the threads; one that has not ended after `seconds` is left to itself."""
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
            except BaseException as error:  # whatever it is, it is raised where the result is waited for
                future.set_exception(error)

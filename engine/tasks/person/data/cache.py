"""A bounded cache of decoded scenes that drops the least recently used first."""

from __future__ import annotations

import threading
from collections import OrderedDict

from engine.task import UnreachableSample, UnusableSample
from engine.tasks.person.data.readers.scenes import Picture, Scene


class PictureCache:
    """Pictures by scene number, up to `max_bytes` of pixels and masks. Read failures are cached too.

    Threads may share it. A copy sent to another process starts empty.
    """

    def __init__(self, scenes: tuple[Scene, ...], max_bytes: int) -> None:
        self._scenes = scenes
        self._max_bytes = max_bytes
        self._forget()

    def read(self, index: int) -> Picture:
        """Return the picture of scene `index`.

        Raises UnusableSample if it cannot be read, with the same reason each time. An UnreachableSample is not cached
        unless `note_missing` was called: the file may return.
        """
        with self._lock:
            if index in self._failed:
                raise UnusableSample(self._failed[index])
            if index in self._pictures:
                self._pictures.move_to_end(index)
                return self._pictures[index]
        try:
            picture = self._scenes[index].read()
        except UnreachableSample:
            raise
        except UnusableSample as error:
            self._failed[index] = str(error)
            raise
        self._keep(index, picture)
        return picture

    def note_missing(self, index: int, error: str) -> None:
        """Treat scene `index` as lost from now on."""
        self._failed[index] = error

    @property
    def num_bytes(self) -> int:
        """Bytes of the cached pictures."""
        return self._num_bytes

    def _keep(self, index: int, picture: Picture) -> None:
        with self._lock:
            if index in self._pictures or picture.num_bytes > self._max_bytes:
                return
            self._pictures[index] = picture
            self._num_bytes += picture.num_bytes
            while self._num_bytes > self._max_bytes:
                _, oldest = self._pictures.popitem(last=False)
                self._num_bytes -= oldest.num_bytes

    def _forget(self) -> None:
        self._pictures: OrderedDict[int, Picture] = OrderedDict()
        self._failed: dict[int, str] = {}
        self._num_bytes = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> tuple[tuple[Scene, ...], int]:
        return self._scenes, self._max_bytes

    def __setstate__(self, state: tuple[tuple[Scene, ...], int]) -> None:
        self._scenes, self._max_bytes = state
        self._forget()

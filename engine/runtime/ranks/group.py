"""The group of all ranks: messages from rank 0, votes, and the sums of a step."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import distributed_c10d
from torch.distributed.rendezvous import rendezvous

from engine.runtime.host.interrupt import Interrupt
from engine.runtime.host.launch import Launch
from engine.runtime.ranks.pulse import WAITING, Pulse, process_name

_HEAD: Final = 8192
"""Bytes of a message's first broadcast; a longer one needs a second."""
_HELLO: Final = "hello"
_POLL_SECONDS: Final = 0.05

Message = Mapping[str, Any]
"""Plain JSON values by name."""


class RankLostError(RuntimeError):
    """Raised if another rank is dead or hangs. The message names it, its last step and its activity."""


class RankGroup:
    """One rank's connection to all ranks of a training; rank 0 leads.

    Every method except `tell` and `is_told` waits for all ranks, and raises RankLostError if one does not come within
    the configured time.
    """

    def __init__(self, launch: Launch) -> None:
        self.rank, self.world = launch.rank, launch.world
        store, _, _ = next(rendezvous("env://"))
        self._store: Any = _within(f"attempt {launch.restarts}", store)  # the agent's store outlives an attempt
        self.pulse = Pulse(self._store, self.rank, self.world, process_name())
        self._sums: Any = None
        self._control: Any = None

    # --- before all ranks are connected -----------------------------------------------------

    def greet(self, hello: Message) -> None:
        """Tell the other ranks, as rank 0, what they need to know before they connect."""
        self.pulse.beat()  # so that all know its process, even if it hangs soon
        self._store.set(_HELLO, json.dumps(hello))

    def await_greeting(self, interrupt: Interrupt) -> Message:
        """Return the greeting of rank 0. Raises StoppedEarlyError if this rank has to end first."""
        while not self._store.check([_HELLO]):
            interrupt.check()
            time.sleep(_POLL_SECONDS)
        self.pulse.hear_rank_0()
        return json.loads(self._store.get(_HELLO))

    def connect(self, device: torch.device, timeout_seconds: float) -> None:
        """Connect all ranks: by nccl for tensors on a GPU, and by gloo for all others."""
        limit = timedelta(seconds=timeout_seconds)
        backend = "nccl" if device.type == "cuda" else "gloo"
        logging.getLogger("torch.distributed").setLevel(logging.ERROR)
        store = _within("group", self._store)
        self.pulse.start()
        with self._together(WAITING):
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.world, timeout=limit)
            self._sums = dist.group.WORLD
            self._control = self._sums if backend == "gloo" else dist.new_group(backend="gloo", timeout=limit)

    def close(self) -> None:
        """Leave the group."""
        self.pulse.stop()
        if self._sums is not None:
            with suppress(Exception):  # a group that has lost a rank may not close
                dist.destroy_process_group()

    # --- notes without waiting --------------------------------------------------------------

    def tell(self, key: str, value: bytes) -> None:
        """Leave a note for another rank."""
        self._store.set(key, value)

    def is_told(self, key: str) -> bool:
        """Return whether there is such a note."""
        return bool(self._store.check([key]))

    def told(self, key: str, seconds: float = 30.0) -> bytes:
        """Return a note, and remove it. Waits up to `seconds` for it; then an empty one is returned."""
        deadline = time.monotonic() + seconds
        while not self.is_told(key):
            if time.monotonic() >= deadline:
                return b""
            time.sleep(_POLL_SECONDS)
        note = bytes(self._store.get(key))
        self._store.delete_key(key)
        return note

    # --- messages of rank 0 -----------------------------------------------------------------

    def send(self, message: Message, blob: bytes = b"") -> None:
        """Send a message to the other ranks, as rank 0."""
        text = json.dumps({**message, "blob": len(blob)}).encode()
        with self._together("carrying out commands"):
            head = np.zeros(_HEAD, np.uint8)
            head[:8] = np.frombuffer(len(text).to_bytes(8, "big"), np.uint8)
            fits = text[: _HEAD - 8]
            head[8 : 8 + len(fits)] = np.frombuffer(fits, np.uint8)
            self._broadcast(torch.from_numpy(head))
            for rest in filter(None, (text[_HEAD - 8 :], blob)):
                self._broadcast(torch.from_numpy(np.frombuffer(rest, np.uint8).copy()))

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Return the next message of rank 0."""
        with self._together(WAITING):
            head = bytes(self._broadcast(torch.zeros(_HEAD, dtype=torch.uint8)).numpy())
            length = int.from_bytes(head[:8], "big")
            text = head[8 : 8 + length] + self._more(max(length - (_HEAD - 8), 0))
            message: dict[str, Any] = json.loads(text)
            return message, self._more(message.pop("blob"))

    def _more(self, size: int) -> bytes:
        return bytes(self._broadcast(torch.zeros(size, dtype=torch.uint8)).numpy()) if size else b""

    def _broadcast(self, data: Tensor) -> Tensor:
        dist.broadcast(data, 0, group=self._control)
        return data

    # --- votes and sums ---------------------------------------------------------------------

    def most(self, vote: int) -> int:
        """Return the largest vote of all ranks."""
        votes = torch.tensor([vote])
        with self._together(WAITING):
            dist.all_reduce(votes, dist.ReduceOp.MAX, group=self._control)
        return int(votes)

    def gather(self, own: Any) -> Sequence[Any]:
        """Return what every rank gave, in the order of the ranks; in other ranks than rank 0 nothing."""
        found: list[Any] = [None] * self.world if self.rank == 0 else []
        with self._together(WAITING):
            dist.gather_object(own, found if self.rank == 0 else None, 0, group=self._control)
        return found

    def gather_if_any(self, own: object | None) -> Sequence[Any]:
        """Return, in rank 0, what some ranks gave, in the order of the ranks: of those that gave `None`, nothing."""
        return [given for given in self.gather(own) if given is not None] if self.most(int(own is not None)) else ()

    def add_up(self, tensor: Tensor, numbers: Tensor | None = None) -> None:
        """Add up `tensor` over all ranks in place, and `numbers`, which are on the host while `tensor` is not.

        The second sum hides behind the first: the device is still busy with the step then.
        """
        with self._together(WAITING):
            sums = dist.all_reduce(tensor, group=self._sums, async_op=True)
            if numbers is not None:
                dist.all_reduce(numbers, group=self._control)
            if sums is not None:
                sums.wait()

    @contextmanager
    def _together(self, doing: str) -> Generator[None]:
        """Wait for the other ranks in the block. Raises RankLostError, which names the rank that did not come."""
        before, self.pulse.doing = self.pulse.doing, doing
        began = time.monotonic()
        try:
            yield
        except RuntimeError as error:
            logging.getLogger(__name__).warning("the ranks are not together: %s", _brief(error))
            sentence = self.pulse.blame(time.monotonic() - began)
            self.pulse.leave()
            raise RankLostError(sentence) from error
        self.pulse.doing = before


def _brief(error: Exception) -> str:
    """Return the first sentence of an error of torch, without the place in its source that it begins with."""
    first = str(error).partition("\n")[0]
    return re.sub(r"^\[\S+:\d+\] ", "", first).partition(". ")[0]


def _within(prefix: str, store: Any) -> Any:
    return distributed_c10d.PrefixStore(prefix, store)  # pyright: ignore[reportPrivateImportUsage]

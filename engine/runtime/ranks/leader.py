"""Rank 0's side: it alone decides, and the other ranks repeat its events at the same step.

Outcomes travel, not commands: `decide` reads measured values, which only rank 0 has. `evolve` and the effect of an
event on tensors are equal everywhere. Guardian, autopilot, rules, scripts and redone actions thus work unchanged.

A boundary between two steps is open while the other ranks wait for orders, else closed: they are in the next step. It
opens by the status that travels with the gradients. If something must happen while it is closed, rank 0 voids the step
that the others have begun: all undo it, and wait for orders.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import nn

from engine.config.files.yaml_text import dump_config
from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.protocol.events import Event
from engine.protocol.state import RunState
from engine.protocol.wire import event_to_text, kind_of, state_to_text
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.host.launch import Launch
from engine.runtime.ranks.group import RankGroup
from engine.runtime.ranks.notes import SIGNAL_KEY
from engine.runtime.ranks.rank_state import RankState, pack
from engine.runtime.recorder import RunRecorder
from engine.runtime.start.bootstrap import RunRequest
from engine.task import Splits, Task
from engine.training.device import choose_device

BEGIN: Final = "begin"
GO: Final = "go"
STILL: Final = "still"
VALIDATE: Final = "validate"
RESTORE: Final = "restore"
END: Final = "end"
_STILL_SECONDS: Final = 1.0
"""Seconds between messages of a pause, so that no time limit of the other ranks passes."""


class Leader:
    """Sends orders to the other ranks, with the events since the last one."""

    def __init__(self, group: RankGroup) -> None:
        self.group = group
        self.is_open = True
        self.has_ended = False
        self._events: list[list[Any]] = []
        self._last_sent = time.monotonic()

    def begin(self, recorder: RunRecorder, train_state: LeaderState) -> None:
        """Give the other ranks the state of the run and all tensors; from now on they repeat every event."""
        directory = str(recorder.journal.path.parent.absolute())
        fields = {"state": state_to_text(recorder.state), "directory": directory}
        self._send(BEGIN, fields, pack(train_state.snapshot()))
        recorder.listen(self._note)
        train_state.on_restore(self._share)

    def order(self, word: str, **fields: Any) -> None:
        """Send an order with the events before it, and plain values by name. The boundary must be open."""
        self._send(word, fields)

    def keep_waiting(self) -> int:
        """Send a message about every second while the boundary is open, so that the other ranks go on waiting.

        Return the number of a signal that one of them has got, 0 for none.
        """
        if time.monotonic() - self._last_sent < _STILL_SECONDS:
            return 0
        self._send(STILL, {})
        return int(self.group.told(SIGNAL_KEY)) if self.group.is_told(SIGNAL_KEY) else 0

    def close(self) -> None:
        """Let the other ranks begin the next step."""
        if self.is_open:
            self._send(GO, {})
            self.is_open = False

    def end(self) -> None:
        """Let the other ranks end."""
        self._send(END, {})
        self.has_ended = True

    def _share(self, payload: Mapping[str, Any]) -> None:
        """Let the other ranks restore a checkpoint, of which they need no file."""
        self.group.pulse.step = int(payload["step"])
        self._send(RESTORE, {"step": int(payload["step"])}, pack(payload))

    def _note(self, event: Event, actor: str, step: int) -> None:
        self._events.append([kind_of(event), event_to_text(event), actor, step])

    def _send(self, word: str, fields: dict[str, Any], blob: bytes = b"") -> None:
        events, self._events = self._events, []
        self.group.send({"do": word, "events": events, **fields}, blob)
        self._last_sent = time.monotonic()


class LeaderState(RankState):
    """The live state of rank 0."""

    def __init__(
        self, leader: Leader, task: Task, config: RunConfig, model: nn.Module, splits: Splits, state: RunState
    ):
        super().__init__(leader.group, task, config, model, splits, state)
        self.leader = leader


@contextmanager
def leading(request: RunRequest, interrupt: Interrupt) -> Generator[Leader | None]:
    """Lead the other ranks during the block; `None` if this process trains alone.

    They learn of its end, whatever its reason.
    """
    launch = request.launch
    if launch is None or launch.world == 1:
        yield None
        return
    group = RankGroup(launch)
    leader = Leader(group)
    try:
        interrupt.check()
        group.greet({"config": dump_config(request.config), "device": request.device})
        group.connect(device_of(request.device, launch), request.config.distributed.timeout_seconds)
        yield leader
    finally:
        if not leader.has_ended:
            group.pulse.leave(f"rank 0 has ended the run {request.directory.name}")
        group.close()


def device_of(wanted: str, launch: Launch) -> torch.device:
    """Return this rank's device: the GPU of its number on this machine, or the CPU. Raises UserError."""
    device = choose_device(wanted)
    if device.type == "mps":
        raise UserError(f"--device {wanted}: several ranks cannot share an Apple GPU; use --device cpu")
    if device.type == "cuda":
        torch.cuda.set_device(launch.local_rank % torch.cuda.device_count())
    return device

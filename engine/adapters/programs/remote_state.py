"""The live state of a program in another process: only its learning rate and clip can be set from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.protocol.events import Event
from engine.protocol.state import RunState
from engine.training.gradients.layer_histogram import unknown_layer


@dataclass(slots=True)
class RemoteState:
    """What the program said of itself in `hello`, and what is in force in it.

    `layers` are the names of its layers, and `requests` those whose histograms it has yet to be asked for.
    """

    hello: Mapping[str, Any] = field(default_factory=dict[str, Any])
    control: dict[str, Any] = field(default_factory=dict[str, Any])
    layers: Sequence[str] = ()
    requests: list[str] = field(default_factory=list[str])
    total: int = 0

    @property
    def is_known(self) -> bool:
        """Whether the program has made its first optimizer step."""
        return bool(self.hello)

    def describe_device(self) -> str:
        """Return the device in words."""
        device = str(self.hello.get("device", ""))
        threads = int(self.hello["threads"])
        return f"cpu ({threads} thread{'' if threads == 1 else 's'})" if device == "cpu" else device

    def num_parameters(self) -> int:
        """Return the number of parameters of the first optimizer."""
        return int(self.hello.get("parameters", 0))

    def learning_rate(self) -> float:
        """Return the learning rate of the first group at the first step."""
        return float(next(iter(self.hello.get("rates", ())), 0.0))

    def adopt(self, state: RunState) -> None:
        """Note what the program is to bring into force."""
        self.control = {
            "activity": state.activity.value,
            "lr_scale": state.lr_scale,
            "lr_pin": state.lr_pin.value if state.lr_pin else None,
            "clip": state.gradient_clip,
            "left": state.steps_until_pause,
        }

    def request_histogram(self, layer: str) -> str:
        """Let the program take histograms of `layer` at its next step; return why that is impossible, or nothing."""
        if layer not in self.layers:
            return unknown_layer(layer, self.layers) if self.layers else "the program has not made a step yet"
        self.requests.append(layer)
        return ""

    def take_requests(self) -> list[str]:
        """Return the layers whose histograms were requested since the last call."""
        taken, self.requests = self.requests, []
        return taken

    def let_go(self) -> None:
        """Do nothing: the program removes its hooks when the connection ends."""

    @property
    def progress(self) -> float:
        """Zero: epochs are the program's own."""
        return 0.0

    @property
    def epoch(self) -> int:
        """Zero: epochs are the program's own."""
        return 0

    def total_steps(self, state: RunState) -> int:
        """Return 0: the length is not known."""
        return self.total

    def carry_out(self, event: Event, state: RunState) -> None:
        """Do nothing: the program gets the resulting state."""

    def is_finite(self) -> bool:
        """Return False: the weights are out of sight, so no checkpoint counts as good."""
        return False

    def snapshot(self) -> dict[str, Any]:
        """Raise UserError: the weights are in another process."""
        raise UserError("a program without a line of the cockpit has no checkpoints of the cockpit")

    def load(self, path: Path) -> dict[str, Any]:
        """Raise UserError: there are no checkpoints."""
        raise UserError("a program without a line of the cockpit has no checkpoints of the cockpit")

    def restore(self, payload: Mapping[str, Any], state: RunState) -> None:
        """Raise UserError: there are no checkpoints."""
        raise UserError("a program without a line of the cockpit has no checkpoints of the cockpit")

    def take_up_position(self, payload: Mapping[str, Any]) -> None:
        """Do nothing: the data are the program's own."""

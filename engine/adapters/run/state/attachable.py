"""What the run needs of the training that it is attached to, in this process or in another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from engine.protocol.state import RunState
from engine.training.checkpoint.live_state import LiveState


@runtime_checkable
class Stateful(Protocol):
    """An object with a state to save: a schedule, a loss scaler or a data loader."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state."""
        ...


class Attachable(LiveState, Protocol):
    """The live state of a foreign training, in this process or in another one."""

    total: int

    @property
    def is_known(self) -> bool:
        """Whether it is known yet what trains."""
        ...

    def describe_device(self) -> str:
        """Return the device in words."""
        ...

    def num_parameters(self) -> int:
        """Return the number of parameters."""
        ...

    def learning_rate(self) -> float:
        """Return the learning rate in force, of the first group."""
        ...

    def adopt(self, state: RunState) -> None:
        """Bring the decided learning rate and clip into force."""
        ...

    def take_up_position(self, payload: Mapping[str, Any]) -> None:
        """Go on reading where the checkpoint was written."""
        ...

    def let_go(self) -> None:
        """Change nothing more in the training. Any thread may call it."""
        ...

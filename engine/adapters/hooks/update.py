"""What was seen at the updates of one step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from torch import Tensor

from .gradients.gradient_norms import Norms
from .layers.measured_layers import MeasuredLayers, TakenHistograms

_no_losses: Final = cast("Callable[[], list[float | Tensor]]", list)
"""The list itself: a function around it would be one more call in each step."""


@dataclass(slots=True)
class Update:
    """What the hooks saw at the updates of one step.

    `lr` is the rate in force, `bad` are parameters with non-finite gradients. `losses` are the scalars
    on which `backward` was called: numbers, or detached tensors on a device. `finite` is the verdict while it is still
    on the device. `is_bad_elsewhere` is whether another process's part was not finite. `scaler_skipped` is the scale of
    a GradScaler that skipped the update, or `None`. `layers` are the numbers of single layers, `None` unless the step
    was measured. `histograms` are those that were requested. `num_passed` of the losses that no update has used yet are
    of earlier batches, and `is_restarted` is whether their gradients were thrown away. `is_searching` is whether an
    optimizer evaluates its closure again, as a line search does, at weights on trial: the first numbers count.
    """

    count: int = 0
    lr: float = 0.0
    norms: tuple[Norms, ...] = ()
    bad: tuple[str, ...] = ()
    losses: list[float | Tensor] = field(default_factory=_no_losses)
    is_loss_bad: bool = False
    is_bad_elsewhere: bool = False
    finite: Tensor | None = None
    scaler_skipped: float | None = None
    layers: MeasuredLayers | None = None
    histograms: tuple[TakenHistograms, ...] = ()
    num_passed: int = 0
    is_restarted: bool = False
    is_searching: bool = False

    def counts(self, loss: float | Tensor) -> bool:
        """Return whether `loss` is one of the step: of a closure the first ones, and any that is not finite."""
        return not self.is_searching or (isinstance(loss, float) and not math.isfinite(loss))

    def add_norms(self, norms: Norms) -> None:
        """Keep the norms of one optimizer's gradients."""
        if not self.is_searching:
            self.norms += (norms,)

    @property
    def is_skipped(self) -> bool:
        """Whether an update was suppressed, as far as the host knows."""
        if self.bad or self.is_loss_bad or self.is_bad_elsewhere:
            return True
        return self.scaler_skipped is not None

    @property
    def grad_norm(self) -> float:
        """The L2 norm of all gradients in host memory."""
        return math.hypot(*[norms.total for norms in self.norms])

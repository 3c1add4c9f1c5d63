"""Suppress an update on an accelerator without waiting for it: the finite flag stays on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...protocol.record import record


@record
class _Before:
    """State of one parameter before an update: its keys, and copies of its counters."""

    parameter: Tensor
    keys: frozenset[str]
    counters: Mapping[str, Any]


@record
class _Late:
    """The flag of the last update on its way to the host."""

    finite: Tensor
    arrived: torch.cuda.Event | None
    before: list[_Before]


class DeviceUndo:
    """Lets an update of `optimizer` count only if a flag on the device is true.

    A fused kernel reads the flag itself. State that it creates in such a step is dropped: SGD's momentum is then
    uninitialized memory. For all others, weights and state are copied before the update and selected
    after it. Counters on the host are corrected before the next update, when the flag has arrived.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._finite: Tensor | None = None
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._before: list[_Before] = []
        self._is_fused = False
        self._late: _Late | None = None

    def guard(self, parameters: Sequence[Tensor], finite: Tensor, scale: Tensor | None) -> None:
        """Prepare the next update: it counts only if `finite`, with gradients divided by `scale` unless `None`."""
        self._settle()
        kernel: Any = self._optimizer
        self._is_fused = all(group.get("fused") for group in kernel.param_groups)
        if self._is_fused and getattr(kernel, "found_inf", None) is None:
            kernel.found_inf = (~finite).float()
            if scale is not None:
                kernel.grad_scale = scale
            self._finite = finite
            self._before = [_Before(p, frozenset(kernel.state.get(p, {})), {}) for p in parameters]
            return
        self._is_fused = False
        self._finite = finite
        if scale is not None:
            grads = [p.grad for p in parameters if p.grad is not None]
            with torch.no_grad():
                torch._foreach_div_(grads, scale)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        self._kept = [(p, p.detach().clone()) for p in parameters if p.grad is not None]
        self._before = []
        for parameter in parameters:
            held: dict[str, Any] = kernel.state.get(parameter, {})
            self._kept += [(value, value.clone()) for value in held.values() if _is_on_device_of(parameter, value)]
            counters = {key: _copied(value) for key, value in held.items() if not _is_on_device_of(parameter, value)}
            self._before.append(_Before(parameter, frozenset(held), counters))

    def finish(self) -> None:
        """Select, after the update, between its result and the values before it."""
        finite, self._finite = self._finite, None
        if finite is None:
            return
        kernel: Any = self._optimizer
        if self._is_fused:
            del kernel.found_inf
            if getattr(kernel, "grad_scale", None) is not None:
                del kernel.grad_scale
        with torch.no_grad():
            for now, before in self._kept:
                now.copy_(torch.where(finite, now, before))
        is_cuda = finite.device.type == "cuda"
        host = torch.empty((), dtype=torch.bool, pin_memory=is_cuda)
        host.copy_(finite, non_blocking=True)
        arrived = torch.cuda.Event() if is_cuda else None
        if arrived is not None:
            arrived.record()
        self._late = _Late(host, arrived, self._before)
        self._kept, self._before = [], []

    def _settle(self) -> None:
        """Correct the counters of the last update if it did not count, and drop state that it created."""
        late, self._late = self._late, None
        if late is None:
            return
        if late.arrived is not None:
            late.arrived.synchronize()
        if bool(late.finite):
            return
        state: dict[Tensor, dict[str, Any]] = self._optimizer.state
        for before in late.before:
            held = state.get(before.parameter, {})
            for key in [key for key in held if key not in before.keys]:
                del held[key]
            held.update(before.counters)
            if not held:
                state.pop(before.parameter, None)


def _is_on_device_of(parameter: Tensor, value: object) -> bool:
    return isinstance(value, Tensor) and value.device == parameter.device


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value

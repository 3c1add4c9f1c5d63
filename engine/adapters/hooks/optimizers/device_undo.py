"""Suppress or undo an update.

On an accelerator nothing waits for it: a fused kernel reads the finite flag itself.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ....protocol.record import record


@record
class _Before:
    """State of one parameter before an update: its keys."""

    parameter: Tensor
    keys: frozenset[str]


@record
class _Late:
    """The flag of the last update on its way to the host."""

    found_inf: Tensor
    arrived: torch.cuda.Event | None
    before: list[_Before]


class DeviceUndo:
    """Lets an update of `optimizer`, which `takes_flag`, count only if a number on the device is 0.

    The kernel leaves weights, moments and counters alone. State that it creates in such a step is dropped by `settle`,
    when the flag has arrived: SGD's momentum is then uninitialized memory. Call it before the next update, and before
    the state is read or replaced.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._found_inf: Tensor | None = None
        self._before: list[_Before] = []
        self._late: _Late | None = None
        self._host: Tensor | None = None

    @property
    def takes_flag(self) -> bool:
        """Whether the optimizer's kernels read a flag, and no GradScaler gives them one."""
        kernel: Any = self._optimizer  # the attributes are those of which torch's own GradScaler makes use
        if not getattr(kernel, "_step_supports_amp_scaling", False) or getattr(kernel, "found_inf", None) is not None:
            return False
        return all(group.get("fused") for group in kernel.param_groups)

    def guard(self, parameters: Sequence[Tensor], found_inf: Tensor, scale: Tensor | None) -> None:
        """Let the next update count only where `found_inf` is 0, with gradients divided by `scale` unless `None`."""
        kernel: Any = self._optimizer
        kernel.found_inf = found_inf
        if scale is not None:
            kernel.grad_scale = scale
        self._found_inf = found_inf
        self._before = [_Before(p, frozenset(kernel.state.get(p, {}))) for p in parameters]

    def finish(self) -> None:
        """Begin to bring the flag to the host, after the update."""
        found_inf, self._found_inf = self._found_inf, None
        if found_inf is None:
            return
        kernel: Any = self._optimizer
        del kernel.found_inf
        if getattr(kernel, "grad_scale", None) is not None:
            del kernel.grad_scale
        is_cuda = found_inf.device.type == "cuda"
        if self._host is None:  # one is enough: it is read before the next update
            self._host = torch.empty((), dtype=torch.float32, device="cpu", pin_memory=is_cuda)
        self._host.copy_(found_inf, non_blocking=True)
        arrived = torch.cuda.Event() if is_cuda else None
        if arrived is not None:
            arrived.record()
        self._late = _Late(self._host, arrived, self._before)
        self._before = []

    def settle(self) -> bool:
        """Drop the state that the last update created, if it did not count. Return whether it did not.

        Waits until the device has finished that update. A second call does nothing.
        """
        late, self._late = self._late, None
        if late is None:
            return False
        if late.arrived is not None:
            late.arrived.synchronize()
        if not bool(late.found_inf):
            return False
        state: dict[Tensor, dict[str, Any]] = self._optimizer.state
        for before in late.before:
            held = state.get(before.parameter, {})
            _drop_new(held, before.keys)
            if not held:
                state.pop(before.parameter, None)
        return True


class StateBefore:
    """Weights, state and own numbers of an optimizer before an update, to be undone whatever the update does."""

    def __init__(self, optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor]) -> None:
        self._optimizer: Any = optimizer
        self._weights = [(parameter, parameter.detach().clone()) for parameter in parameters]
        state: Mapping[Any, Any] = optimizer.state
        self._state = {key: {name: _copied(one) for name, one in _items(held)} for key, held in state.items()}
        self._numbers = {name: value for name, value in vars(optimizer).items() if type(value) in (int, float)}

    @torch.no_grad()
    def restore(self) -> None:
        """Undo the update."""
        for parameter, weight in self._weights:
            parameter.copy_(weight)
        state = self._optimizer.state
        _drop_new(state, self._state)
        for key, before in self._state.items():
            if isinstance(held := state[key], dict):
                _drop_new(held, before)
                held.update({name: _restored(held.get(name), value) for name, value in before.items()})
        vars(self._optimizer).update(self._numbers)


def _drop_new(held: dict[Any, Any], known: Container[Any]) -> None:
    """Remove what is not `known` from `held`."""
    for key in [key for key in held if key not in known]:
        del held[key]


def _restored(now: Any, value: Any) -> Any:
    """Return `now` with the content of `value` if they are tensors of one shape, and `value` itself otherwise."""
    is_same = isinstance(now, Tensor) and isinstance(value, Tensor) and now.shape == value.shape
    return now.copy_(value) if is_same else value


def _items(held: Any) -> list[tuple[Any, Any]]:
    """Return what the state of a parameter holds by name."""
    return list(held.items()) if isinstance(held, dict) else []


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)

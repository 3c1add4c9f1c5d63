"""Process-wide hooks on torch while a foreign training is attached: `backward`, gradient clipping, loss scaling.

Each is looked up by torch at call time, so names that a program imported before are covered too.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock, get_ident
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.utils import clip_grad

from .optimizer_hooks import OptimizerHooks
from .optimizers.wrapped_optimizers import updating
from .survive import untraced

_watching: Final[list[OptimizerHooks]] = []
_originals: Final[dict[str, Any]] = {}
_lock: Final = Lock()
"""Trainings in several threads begin and end at any time."""
_scalers: Final[list[type[torch.amp.GradScaler]]] = []
"""The classes of scalers in use: without one no loss is looked through, which costs each step half a microsecond."""
_UNSCALED: Final = "_cockpit_unscaled"
"""Attribute of a scaled loss: the loss itself."""

# `Any`: arguments are passed through to torch, whatever its version takes.


def install(hooks: OptimizerHooks) -> None:
    """Inform `hooks` of clipping and of skipped updates, and note the losses on which `backward` is called."""
    with _lock:
        if not _watching:
            _patch()
        _watching.append(hooks)


def remove(hooks: OptimizerHooks) -> None:
    """Stop informing `hooks`. With the last one, torch is as it was."""
    with _lock:
        if hooks in _watching:
            _watching.remove(hooks)
            if not _watching:
                _restore()


def _patch() -> None:
    _originals.update(
        backward=torch.autograd.backward,
        clip=getattr(clip_grad, "_clip_grads_with_norm_", None),
        scale=torch.amp.GradScaler.scale,
        step=torch.amp.GradScaler.step,
    )
    torch.autograd.backward = _backward
    if _originals["clip"] is not None:
        clip_grad._clip_grads_with_norm_ = _clip  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
    torch.amp.GradScaler.scale = _scaled  # pyright: ignore[reportAttributeAccessIssue]
    torch.amp.GradScaler.step = _scaled_step  # pyright: ignore[reportAttributeAccessIssue]


def _restore() -> None:
    torch.autograd.backward = _originals["backward"]
    if _originals["clip"] is not None:
        clip_grad._clip_grads_with_norm_ = _originals["clip"]  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
    torch.amp.GradScaler.scale = _originals["scale"]
    torch.amp.GradScaler.step = _originals["step"]


def _backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(tensors, Tensor) and not tensors.ndim:
        loss = getattr(tensors, _UNSCALED, tensors) if _scalers else tensors
        watching = _watching_here()
        if len(watching) > 1:
            return _backward_of_one(watching, loss, tensors, *args, **kwargs)
        for hooks in watching:
            hooks.note_loss(loss)
    return _originals["backward"](tensors, *args, **kwargs)


def _watching_here() -> Sequence[OptimizerHooks]:
    """Return the hooks of the trainings in this thread; the only ones, if there is one training in all.

    Gradients of another thread must not be looked at: it may be freeing them.
    """
    watching = tuple(_watching)
    if len(watching) < 2:
        return watching
    thread = get_ident()
    return [hooks for hooks in watching if hooks.thread == thread]


def _backward_of_one(watching: Sequence[OptimizerHooks], loss: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Note `loss` for those of several trainings whose gradients it changes."""
    for hooks in watching:
        with hooks.survive:
            hooks.forget_thrown_away()
    before = [_marks(hooks) for hooks in watching]
    done = _originals["backward"](*args, **kwargs)
    for hooks, former in zip(watching, before, strict=True):
        if not former or _marks(hooks) != former:
            hooks.note_loss(loss)
    return done


def _marks(hooks: OptimizerHooks) -> list[tuple[int, int] | None]:
    """Return what changes with each gradient: which tensor it is, and its version; nothing after a fault."""
    marks: list[tuple[int, int] | None] = []
    with hooks.survive:
        grads = [parameter.grad for reader in hooks.readers for parameter in reader.parameters]
        marks += [None if grad is None else (id(grad), grad._version) for grad in grads]
    return marks


def _scaled(scaler: Any, outputs: Any) -> Any:
    scaled = _originals["scale"](scaler, outputs)
    if not isinstance(outputs, Tensor) or scaled is outputs:
        return scaled
    if type(scaler) not in _scalers:
        _scalers.append(type(scaler))
    setattr(scaled, _UNSCALED, outputs)
    return scaled


@untraced
def _clip(parameters: Any, max_norm: float, total_norm: Tensor, *args: Any, **kwargs: Any) -> Any:
    held = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for hooks in _watching_here():
        hooks.note_clip(held, total_norm)
    return _originals["clip"](held, max_norm, total_norm, *args, **kwargs)


def _scaled_step(scaler: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
    watching = [(hooks, hooks.num_calls) for hooks in _watching]
    done = _originals["step"](scaler, optimizer, *args, **kwargs)
    _note_skips(scaler, optimizer, [hooks for hooks, before in watching if hooks.num_calls == before])
    return done


@untraced
def _note_skips(scaler: Any, optimizer: Any, watching: Sequence[OptimizerHooks]) -> None:
    for hooks in watching:
        with hooks.survive:
            for one in updating(optimizer):
                hooks.note_scaler_skip(one, float(scaler.get_scale()))

"""Measure every layer at one step: gradients, weights, the update and zeros, without waiting for the device.

Nothing here changes a number of the training or draws a random one. Only torch and numpy are imported, as this module
is also loaded into foreign programs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from .device_numbers import count_filled, dense, norms_of, stacked, to_host
from .layer_values import LayerNames, PendingLayers

NETWORK: Final = "network"
"""The name of a network that is a single layer."""
_CONTAINERS: Final = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""Modules that are never called."""


@dataclass(slots=True)
class _Step:
    """The numbers of the step that is being measured: tensors on the device, by the number of parameter or module."""

    grads: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict[int, tuple[Tensor, Tensor]])
    scales: dict[int, float] = field(default_factory=dict[int, float])
    weights: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    before: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    updates: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    outputs: dict[int, list[Tensor]] = field(default_factory=dict[int, list[Tensor]])
    num_outputs: dict[int, int] = field(default_factory=dict[int, int])


class LayerProbe:
    """Measures the parameters and modules of `models` at one step after another.

    In this order: `begin`, forward and backward passes while it is `watched`, `note_gradients`, the update,
    `note_update`, `finish`. A parameter that is not a plain tensor of numbers in one process is left out.
    """

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        held: dict[str, Tensor] = {}
        modules: dict[str, nn.Module] = {}
        for prefix, model in models.items():
            begin = f"{prefix}." if prefix else ""
            held |= {begin + name: p for name, p in model.named_parameters() if _is_plain(p)}
            modules |= {begin + name: module for name, module in model.named_modules() if name and _is_called(module)}
            if next(model.children(), None) is None and _is_called(model):
                modules[prefix or NETWORK] = model
        self._parameters = list(held.values())
        self._numbers = {id(parameter): number for number, parameter in enumerate(self._parameters)}
        self._modules = list(modules.values())
        self._places = {id(module): number for number, module in enumerate(self._modules)}
        self.names = LayerNames(tuple(held), tuple(p.numel() for p in self._parameters), tuple(modules))
        self._stop: Callable[[], object] | None = None
        self._step = _Step()
        self._last: tuple[weakref.ref[Tensor] | None, int, Tensor | None] = (None, 0, None)

    def begin(self) -> None:
        """Forget what was noted so far."""
        self._step = _Step()

    @contextmanager
    def watched(self, *, on: bool = True) -> Generator[None]:
        """Count the zeros in the outputs of all modules during the block."""
        if on:
            self.watch()
        try:
            yield
        finally:
            self.unwatch()

    def watch(self) -> None:
        """Count the zeros in the outputs of all modules, in training mode, until `unwatch`.

        The hook is torch's for all modules. One on each would be copied and saved together with the network.
        """
        self.unwatch()
        me = weakref.ref(self)

        def note(module: nn.Module, inputs: object, output: object) -> None:
            if not torch.compiler.is_compiling() and (probe := me()) is not None:
                probe._note_output(module, output)

        self._stop = weakref.finalize(self, register_module_forward_hook(note).remove)

    def unwatch(self) -> None:
        """Remove the hook."""
        if self._stop is not None:
            self._stop()
            self._stop = None
        self._last = (None, 0, None)

    def _note_output(self, module: nn.Module, output: object) -> None:
        number = self._places.get(id(module))
        if number is None or not module.training:
            return
        tensor = _first_tensor(output)
        if tensor is None:
            return
        try:
            count = self._count_of(tensor)
        except RuntimeError:  # such as no memory for it: the training must not fail of it
            return
        self._step.outputs.setdefault(number, []).append(count)
        self._step.num_outputs[number] = self._step.num_outputs.get(number, 0) + tensor.numel()

    def _count_of(self, tensor: Tensor) -> Tensor:
        """Return the number of values that are not zero; the last one again for the same tensor, as of a container."""
        reference, version, count = self._last
        now = tensor._version  # pyright: ignore[reportPrivateUsage]
        if reference is not None and reference() is tensor and version == now and count is not None:
            return count
        count = count_filled(tensor.detach())
        self._last = (weakref.ref(tensor), now, count)
        return count

    @torch.no_grad()
    def note_gradients(self, parameters: Iterable[Tensor] | None = None, *, scale: float = 1.0) -> None:
        """Measure gradients and weights, of all `parameters` (`None`: of the networks') that were not noted before.

        Gradients are `scale` times what they mean.
        """
        step = self._step
        numbers = range(len(self._parameters)) if parameters is None else self._known(parameters)
        numbers = [number for number in numbers if number not in step.weights]
        if not numbers:
            return
        held = [self._parameters[number] for number in numbers]
        trained = [(number, p) for number, p in zip(numbers, held, strict=True) if p.grad is not None]
        grads = [dense(cast(Tensor, p.grad)) for _, p in trained]
        norms = norms_of([*grads, *(p.detach() for p in held)])
        for (number, _), grad, norm in zip(trained, grads, norms, strict=False):
            step.grads[number] = norm, count_filled(grad)
            step.scales[number] = scale
        step.weights.update(zip(numbers, norms[len(grads) :], strict=True))
        try:
            step.before.update((number, p.detach().clone()) for number, p in trained)
        except torch.OutOfMemoryError:
            step.before.clear()

    def _known(self, parameters: Iterable[Tensor]) -> list[int]:
        found = (self._numbers.get(id(parameter)) for parameter in parameters)
        return [number for number in found if number is not None]

    @torch.no_grad()
    def note_update(self) -> None:
        """Measure how far the weights have moved since `note_gradients`."""
        before, self._step.before = self._step.before, {}
        if not before:
            return
        copies = list(before.values())
        weights = [self._parameters[number].detach() for number in before]
        torch._foreach_sub_(copies, weights)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        self._step.updates.update(zip(before, norms_of(copies), strict=True))

    @torch.no_grad()
    def finish(self) -> PendingLayers | None:
        """Return the numbers of the step, on their way to the host; `None` without any."""
        step, self._step = self._step, _Step()
        if not step.weights:
            return None
        counts = [counts[0] if len(counts) == 1 else torch.stack(counts).sum() for counts in step.outputs.values()]
        grads = step.grads.values()
        parts = [*(norm for norm, _ in grads), *(count for _, count in grads), *step.weights.values()]
        vector = stacked([*parts, *step.updates.values(), *counts])
        host, copied = to_host(vector)
        return PendingLayers(
            self.names,
            host,
            copied,
            list(step.grads),
            list(step.scales.values()),
            list(step.weights),
            list(step.updates),
            list(step.outputs),
            list(step.num_outputs.values()),
        )


def _is_plain(parameter: Tensor) -> bool:
    """Return whether norms of a parameter concern this process only: of a distributed one they would wait for all."""
    return type(parameter.detach()) is Tensor and parameter.is_floating_point() and not parameter.is_meta


def _is_called(module: nn.Module) -> bool:
    """Return whether a hook on the module sees its output. Scripted and compiled modules keep their own code."""
    is_compiled = isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod")
    return not is_compiled and not isinstance(module, _CONTAINERS)


def _first_tensor(output: object) -> Tensor | None:
    """Return the output, or the first part of it, if that is a plain tensor."""
    first = cast(Sequence[object], output)[0] if isinstance(output, tuple | list) and output else output
    return first if type(first) is Tensor and first.numel() else None

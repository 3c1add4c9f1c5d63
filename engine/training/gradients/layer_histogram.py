"""Histograms of one layer's weights, gradients and outputs at the next step, counted on the device.

Nothing here changes a number of the training or draws a random one. This module is also loaded into foreign programs.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, cast

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.hooks import RemovableHandle

from ...errors import nearest
from ...outputs.inspection.layer_histograms import LayerHistograms
from ...protocol.record import record
from .device_numbers import dense
from .tensor_histogram import Counts, count

NETWORK: Final = "network"
"""The name of the whole network as a layer."""
_MOST: Final = 16
"""Layers that may wait for the same step."""


@record
class PendingHistograms:
    """The histograms of one layer on their way from the device."""

    layer: str
    found: dict[str, Counts]
    missing: dict[str, str]

    def resolve(self, step: int) -> LayerHistograms:
        """Return the histograms of step `step` (from 1); waits for the device."""
        taken = {kind: counts.resolve() for kind, counts in self.found.items()}
        return LayerHistograms(
            self.layer, step, taken.get("weights"), taken.get("gradients"), taken.get("activations"), self.missing
        )


@dataclass(slots=True)
class _Layer:
    """A layer that waits for a step: its parameters, and the module whose output is counted; `None` for none."""

    parameters: list[Tensor]
    module: nn.Module | None
    output: Counts | None = field(default=None)
    why_no_output: str = "the module was not called"


class HistogramTaker:
    """Takes the histograms of the requested layers of `models` at the next step that is not undone.

    In each step, in this order: `begin`, forward passes while it is `watched`, `note_gradients`, `finish`.
    """

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        self._models = models
        self._waiting: dict[str, _Layer] = {}
        self._taken: list[PendingHistograms] = []
        self._handle: RemovableHandle | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether a layer waits for the next step."""
        return bool(self._waiting)

    def request(self, layer: str) -> str:
        """Take the histograms of `layer` at the next step; return why that is impossible, or an empty string."""
        modules, parameters = _layers_of(self._models)
        if layer in parameters:
            owner = layer.rpartition(".")[0] or NETWORK
            found = _Layer([parameters[layer]], modules.get(owner))
        elif layer in modules:
            found = _Layer(list(modules[layer].parameters()), modules[layer])
        else:
            return unknown_layer(layer, [*modules, *parameters])
        if not all(type(parameter.detach()) is Tensor for parameter in found.parameters):
            return f"the values of {layer} are divided among processes"
        if len(self._waiting) >= _MOST and layer not in self._waiting:
            return f"{_MOST} layers wait for the next step already"
        self._waiting[layer] = found
        return ""

    def begin(self) -> None:
        """Forget what an undone step has counted."""
        self._taken = []
        for layer in self._waiting.values():
            layer.output, layer.why_no_output = None, "the module was not called"

    @contextmanager
    def watched(self, *, on: bool) -> Generator[None]:
        """Count the first output of each requested module in the block; without `on`, the network is compiled."""
        self.watch(on=on)
        try:
            yield
        finally:
            self.unwatch()

    def watch(self, *, on: bool) -> None:
        """Count the first output of each requested module until `unwatch`; without `on`, the network is compiled."""
        self.unwatch()
        layers: dict[int, list[_Layer]] = {}
        for layer in self._waiting.values():
            if not on:
                layer.why_no_output = "the network is compiled: hooks see no output"
            elif layer.module is not None:
                layers.setdefault(id(layer.module), []).append(layer)

        def note(module: nn.Module, inputs: object, output: object) -> None:
            for layer in layers.get(id(module), ()):
                _note_output(layer, module, output)

        if layers:  # none on the network itself: the program may save or copy it meanwhile
            self._handle = register_module_forward_hook(note)

    def unwatch(self) -> None:
        """Remove the hook of `watch`."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.remove()

    def note_gradients(self, among: Container[int] | None = None, *, scale: float = 1.0) -> None:
        """Count the weights and gradients of the requested layers that are not counted yet in this step.

        With `among`, layers wait whose parameters have none of these ids. Gradients are `scale` times what they mean.
        """
        done = {one.layer for one in self._taken}
        for name, layer in self._waiting.items():
            weights = [p for p in layer.parameters if p.is_floating_point() and p.numel()]
            if name in done or (among is not None and weights and not any(id(p) in among for p in weights)):
                continue
            grads = [dense(p.grad) for p in weights if p.grad is not None]
            if scale != 1.0:
                grads = [grad / scale for grad in grads]
            counts = {
                "weights": count(weights) if weights else "the layer has no parameters",
                "gradients": count(grads) if grads else "no gradient: the layer is frozen or took no part in the loss",
                "activations": layer.why_no_output if layer.output is None else layer.output,
            }
            found = {kind: held for kind, held in counts.items() if not isinstance(held, str)}
            missing = {kind: held for kind, held in counts.items() if isinstance(held, str)}
            self._taken.append(PendingHistograms(name, found, missing))

    def finish(self) -> tuple[PendingHistograms, ...]:
        """Return what was taken, on its way to the host; the requests are done then."""
        taken, self._taken = tuple(self._taken), []
        for done in taken:
            self._waiting.pop(done.layer, None)
        return taken


def _note_output(layer: _Layer, module: nn.Module, output: object) -> None:
    first = cast(Sequence[object], output)[0] if isinstance(output, tuple | list) and output else output
    if layer.output is not None or not module.training:
        return
    if isinstance(first, Tensor) and first.is_floating_point() and first.numel():
        try:
            layer.output = count([first])
        except RuntimeError:  # such as no memory for it: the training must not fail of it
            layer.why_no_output = "no memory to count them"
    else:
        layer.why_no_output = f"the module returns {type(first).__name__}, not a tensor of numbers"


def _layers_of(models: Mapping[str, nn.Module]) -> tuple[dict[str, nn.Module], dict[str, Tensor]]:
    """Return the modules and the parameters of networks by name; a network itself has its own name, or 'network'."""
    modules: dict[str, nn.Module] = {}
    parameters: dict[str, Tensor] = {}
    for prefix, model in models.items():
        begin = f"{prefix}." if prefix else ""
        inner_first = reversed(list(model.named_modules()))
        modules |= {begin + name if name else prefix or NETWORK: module for name, module in inner_first}
        parameters |= {begin + name: parameter for name, parameter in model.named_parameters()}
    return modules, parameters


def layer_names(models: Mapping[str, nn.Module]) -> list[str]:
    """Return the names of all layers that can be requested."""
    modules, parameters = _layers_of(models)
    return [*modules, *parameters]


def unknown_layer(layer: str, names: Sequence[str]) -> str:
    """Return why there is no such layer, with the nearest name, or else the outermost ones."""
    match = nearest(layer, names)
    outermost = ", ".join(name for name in names if "." not in name)
    hint = f"did you mean {match!r}?" if match else f"there are {outermost}, and their parts"
    return f"no layer is called {layer!r}; {hint}"

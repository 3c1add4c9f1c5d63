"""Name the operation behind a non-finite step by repeating the network alone, with its kept inputs and gradients.

For trainings whose loop cannot be repeated: those of trainers, and on accelerators. The loss outside the network is not
repeated: if what reaches the network's outputs is not finite, the fault is named as the loss's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from engine.adapters.hooks.gradients.parameter_names import unwrapped
from engine.adapters.replays.origin_fault import fault_of
from engine.adapters.replays.trace_roots import note_inputs, note_weights, tensors_in
from engine.forensics.capture import RandomState, kept_random_state, random_state, set_random_state
from engine.forensics.nan_tracer import Origin, Tracer
from engine.forensics.tensor_stats import is_finite, stats_of
from engine.outputs.fault_report import NOT_REPLAYED, REPRODUCED, Fault

_MOST_CALLS: Final = 64


@dataclass(slots=True)
class _Call:
    """One forward pass: its arguments, the generators before it, and the gradients that reached its outputs."""

    name: str
    model: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    random: RandomState
    grads: dict[int, Tensor] = field(default_factory=lambda: {})


class ModelReplay:
    """Keeps the forward passes of `models` in the newest step and the one before, by reference, and repeats them.

    Inside a compiled network nothing is kept: a hook would end the compiled region. A network that is handed over
    compiled is watched from outside.
    """

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        self._models = {name: _watchable(model) for name, model in models.items()}
        self._names = {id(model): name for name, model in self._models.items()}
        self._calls: list[_Call] = []
        self._former: list[_Call] = []
        self._handles: list[Any] = []
        self._is_repeating = False

    def watch(self) -> None:
        """Put the hooks on the networks."""
        for model in self._models.values():
            self._handles.append(model.register_forward_pre_hook(self._before, with_kwargs=True))
            self._handles.append(model.register_forward_hook(self._after))

    def retire(self) -> None:
        """Keep nothing more. Any thread may call it; `remove` follows in the training's own."""
        self._is_repeating = True
        self.forget()

    def remove(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.forget()

    def end_step(self, *, is_settled: bool) -> None:
        """Forget the passes of the step before, and those of the newest step too if its verdict `is_settled`."""
        self._former = [] if is_settled else self._calls
        self._calls = []

    def forget(self) -> None:
        """Forget all passes."""
        self.end_step(is_settled=True)

    def name_fault(self, *, former: bool = False) -> tuple[Fault, float]:
        """Repeat the passes of the newest step, or of the `former` one, traced. All else is restored.

        Return the fault and the seconds it took.
        """
        started = time.perf_counter()
        try:
            fault = self._repeated(self._former if former else self._calls)
        except Exception as error:  # out of memory, for example: a diagnosis must not end a foreign training
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            fault = Fault(NOT_REPLAYED, detail=f"the repetition failed: {line}")
        return fault, time.perf_counter() - started

    def _before(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling():
            return
        if self._is_repeating or not torch.is_grad_enabled() or len(self._calls) >= _MOST_CALLS:
            return
        with suppress(Exception):  # a kept pass is a help, not a need
            first = next(model.parameters(), None)
            device = first.device if first is not None else torch.device("cpu")
            self._calls.append(_Call(self._names[id(model)], model, args, kwargs, random_state(device)))

    def _after(self, model: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        if self._is_repeating or not self._calls or self._calls[-1].model is not model:
            return
        with suppress(Exception):
            call = self._calls[-1]
            for number, (_, tensor) in enumerate(tensors_in(output, "")):
                if tensor.requires_grad:
                    tensor.register_hook(_keep(call.grads, number))

    def _repeated(self, calls: Sequence[_Call]) -> Fault:
        if not calls:
            return Fault(NOT_REPLAYED, detail="the network was not called with gradients in this step, or compiled")
        fault = next((found for call in calls if (found := self._repeat(call)) is not None), None)
        if fault is not None:
            return fault
        bad = next((grad for call in calls for grad in call.grads.values() if not is_finite(grad)), None)
        if bad is not None:
            return Fault(
                REPRODUCED,
                "backward",
                "the loss",
                "gradient of the network's output",
                detail="the network is finite; the loss computed from its output is not, or its gradient",
                inputs=(stats_of("gradient", bad),),
            )
        return Fault(
            REPRODUCED,
            "forward",
            "the loss",
            "computation outside the network",
            detail="network and gradients are finite when they are repeated: the loss computed from them was not",
        )

    def _repeat(self, call: _Call) -> Fault | None:
        """Repeat one pass; return its fault, or `None` if network and gradients are finite."""
        model = unwrapped(call.model)
        tracer = Tracer(model)
        self._is_repeating = True
        try:
            with _untouched(model, call.random), torch.compiler.set_stance("force_eager"), tracer.watching():
                origin = _origin_in(call, model, tracer)
                return None if origin is None else _fault_in(call.name, origin)
        finally:
            self._is_repeating = False


def _origin_in(call: _Call, model: nn.Module, tracer: Tracer) -> Origin | None:
    """Repeat one pass of `model`, and its backward pass if it is finite; return where a non-finite value began."""
    note_inputs(tracer, (*tensors_in(call.args, "input"), *tensors_in(call.kwargs, "")))
    note_weights(tracer, model)
    outputs = [tensor for _, tensor in tensors_in(model(*call.args, **call.kwargs), "")]
    bad = [tensor.detach() for tensor in outputs if not is_finite(tensor.detach())]
    if (origin := tracer.origin_of(bad)) is not None:
        return origin
    roots = [(outputs[number], grad) for number, grad in call.grads.items() if number < len(outputs)]
    if not roots or not all(is_finite(grad) for _, grad in roots):
        return None
    torch.autograd.backward([root for root, _ in roots], [grad for _, grad in roots])
    return tracer.origin_of(p.grad for p in model.parameters() if p.grad is not None)


def _watchable(model: nn.Module) -> nn.Module:
    """Return the module whose calls are kept: a compiled one itself, or the network inside its wrappers."""
    return model if hasattr(model, "_orig_mod") else unwrapped(model)


def _fault_in(name: str, origin: Origin) -> Fault:
    """Return the fault with the full name of its module, if the network `name` is one of several.

    What reaches one of several networks need not be the data: it may be computed.
    """
    if not name:
        return fault_of(origin, ())
    if origin.direction == "input":
        operation = "computation outside the networks (or the data)"
        return Fault(REPRODUCED, "forward", f"what precedes {name}", operation, inputs=origin.inputs)
    module = f"{name}.{origin.place.module}".removesuffix(".")
    return fault_of(replace(origin, place=replace(origin.place, module=module)), ())


def _keep(grads: dict[int, Tensor], number: int) -> Callable[[Tensor], None]:
    def keep(grad: Tensor) -> None:
        grads[number] = grad.detach()

    return keep


@contextmanager
def _untouched(model: nn.Module, random: RandomState) -> Generator[None]:
    """Restore gradients, buffers and generators after the block, which begins without gradients."""
    parameters = list(model.parameters())
    grads = [parameter.grad for parameter in parameters]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    first = parameters[0].device if parameters else torch.device("cpu")
    with kept_random_state(first), torch.enable_grad():
        set_random_state(random, first)
        for parameter in parameters:
            parameter.grad = None
        try:
            yield
        finally:
            _restore(zip(parameters, grads, strict=True), buffers)


@torch.no_grad()
def _restore(grads: Iterable[tuple[nn.Parameter, Tensor | None]], buffers: Iterable[tuple[Tensor, Tensor]]) -> None:
    for parameter, grad in grads:
        parameter.grad = grad
    for buffer, before in buffers:
        buffer.copy_(before)

"""Watch every operation of a forward and backward pass, and record the origin of each non-finite tensor.

An operation is an origin if its inputs were finite and its output was not. All results computed from the output inherit
the origin. An infinity that is masked later is an origin too, but no path leads to it from the loss.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from engine.forensics.operations import (
    asking_frame,
    current_node,
    key_of,
    name_of,
    named_tensors,
    newest_node,
    source_of,
    tensors_of,
)
from engine.forensics.tensor_stats import is_finite, stats_of
from engine.outputs.fault_report import TensorStats
from engine.protocol.record import record

_NATIVE = re.compile(r"(\w+?)Backward\d+$")
_OVERWRITES = ("aten::copy_", "aten::fill_", "aten::zero_")


@record
class Place:
    """Location of an operation: module path (an empty string outside the network) and source line."""

    module: str
    operation: str
    source: str


@record
class Origin:
    """Origin of a non-finite value. `index` counts operations; `sequence` is its node in the graph.

    `rows` are the regions of batch number `batch` with non-finite values, if they can be determined.
    """

    index: int
    direction: str
    place: Place
    batch: int = 0
    sequence: int = -1
    rows: tuple[int, ...] = ()
    inputs: tuple[TensorStats, ...] = ()


class Tracer(TorchDispatchMode):
    """Traces `model` inside `watching`; a traced pass takes about twice as long."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.batch = 0
        self.num_samples = 0
        self._model = model
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._origins: dict[int, Origin] = {}
        self._forward: dict[int, Place] = {}
        self._modules: list[str] = []
        self._count = 0
        self._hooks = ExitStack()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: nothing in a traced pass is compiled, and the exclusion imports `torch._dynamo` for a second.

        Torch asks this once, when the class is defined.
        """
        return False

    # --- scopes -------------------------------------------------------------------------

    @contextmanager
    def watching(self) -> Generator[None]:
        """Trace operations in the block, and attribute them to their module."""
        with self._hooks, self:
            for path, module in self._model.named_modules():
                self._hook(module, path)
            yield

    def _hook(self, module: nn.Module, path: str) -> None:
        def enter(*_: object) -> None:
            self._modules.append(path)

        def leave(*_: object) -> None:
            self._modules.pop()

        self._hooks.callback(module.register_forward_pre_hook(enter).remove)
        self._hooks.callback(module.register_forward_hook(leave).remove)

    def root(self, tensor: Tensor, direction: str, module: str, operation: str) -> None:
        """Register a tensor from which the pass starts. A non-finite one is an origin itself."""
        if is_finite(tensor):
            return
        rows = _bad_rows(tensor, self.num_samples) if direction == "input" else ()
        stats = (stats_of(operation, tensor),)
        place = Place(module, operation, "")
        self._origins[key_of(tensor)] = Origin(self._count, direction, place, self.batch, -1, rows, stats)
        self._count += 1

    # --- operations ---------------------------------------------------------------------

    def origin_of(self, tensors: Iterable[Tensor]) -> Origin | None:
        """Return the earliest origin of the non-finite values in `tensors`, or `None`."""
        found = [o for t in tensors if (o := self._origins.get(key_of(t))) is not None and not is_finite(t)]
        return min(found, key=lambda origin: origin.index, default=None)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Execute one operation and check its output."""
        kwargs = kwargs or {}
        self._count += 1
        given = dict(named_tensors(func, args, kwargs))
        if func._schema.name in _OVERWRITES:
            given.pop("self", None)
        known = self.origin_of(given.values())
        if func._schema.is_mutable and known is None:
            given = {name: tensor.clone() for name, tensor in given.items()}
        node = current_node()
        if node is None:
            self._forward.setdefault(newest_node(), self._place(func))
        result = func(*args, **kwargs)
        if not func.is_view and "empty" not in func._schema.name:
            self._look(func, node, known, given, result)
        return result

    def _look(self, func: Any, node: Any, known: Origin | None, given: Mapping[str, Tensor], result: Any) -> None:
        outputs = list(tensors_of(result))
        for number, output in enumerate(outputs):
            if is_finite(output):
                continue
            if known is None:
                rows = _bad_rows(output, self.num_samples) if number == 0 and output.ndim > 2 else ()
                known = self._new_origin(func, node, given, rows)
            self._origins[key_of(output)] = known

    def _new_origin(self, func: Any, node: Any, given: Mapping[str, Tensor], rows: tuple[int, ...]) -> Origin:
        inputs = tuple(stats_of(name, tensor) for name, tensor in given.items() if tensor.is_floating_point())
        if node is None:
            return Origin(self._count, "forward", self._place(func), self.batch, newest_node(), rows, inputs)
        place = self._place_of_node(node)
        return Origin(self._count, "backward", place, self.batch, node._sequence_nr(), rows, inputs)

    # --- places -------------------------------------------------------------------------

    def _place(self, func: Any) -> Place:
        frame = asking_frame(sys._getframe(2))  # pyright: ignore[reportPrivateUsage]
        path = (self._modules[-1] or "network") if self._modules else ""
        if path == "network" and frame is not None and frame.f_code.co_name != "forward":
            path = f"network.{frame.f_code.co_name}"
        return Place(path, name_of(func), source_of(frame))

    def _place_of_node(self, node: Any) -> Place:
        """Return the forward operation that a node of the graph differentiates."""
        variable = getattr(node, "variable", None)
        if variable is not None:
            module, _, name = self._names.get(id(variable), "").rpartition(".")
            return Place(module, f"gradient of {name or 'a tensor'}", "")
        forward = self._forward.get(node._sequence_nr())
        native = _NATIVE.search(node.name())
        name = node.name().rpartition("::")[2]
        if forward is None:
            return Place("", native.group(1).lower() if native else name.removesuffix("Backward"), "")
        if native:
            return forward
        return Place(forward.module, name.removesuffix("Backward"), forward.source)


# The following names of torch are private: the node whose backward pass is running, and the numbers of nodes, by which
# torch's profiler also matches forward and backward.


def _bad_rows(tensor: Tensor, num_samples: int) -> tuple[int, ...]:
    """Return the samples with non-finite values; empty if the first axis does not count samples."""
    if tensor.ndim == 0 or len(tensor) != num_samples:
        return ()
    return tuple(row for row in range(num_samples) if not is_finite(tensor[row]))

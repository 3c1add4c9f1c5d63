"""Name the operation behind a non-finite step of a foreign training, without side effects on it.

In an own loop on the CPU a copy of the process (`fork`) gets the same batches again. It runs the loop's body once more,
traced, and nothing that it does reaches the training. Elsewhere the network alone is repeated, with its kept inputs and
the gradients that reached its outputs.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any, Final

import torch
from torch import Tensor, nn

from engine.adapters.hooks.gradients.parameter_names import unwrapped
from engine.adapters.replays.alone import leave_group
from engine.adapters.replays.origin_fault import fault_of
from engine.adapters.replays.pending_replays import Repetition
from engine.adapters.replays.process_copy import RefusedReplay, RunningReplay
from engine.adapters.replays.trace_roots import note_inputs, note_weights, tensors_in
from engine.forensics.nan_tracer import Tracer
from engine.forensics.tensor_stats import is_finite
from engine.outputs.fault_report import Fault
from engine.protocol.codec import to_text

_MOST_BATCHES: Final = 64
_MOST_UNSEEN: Final = 15
"""Maximum number of steps in a row without a look at the generator, while it does not change."""
_MOVED_ON: Final = (
    "counters of the loop had moved on by then, so a fault that depends on one, or on a file, does not come again"
)


class StepReplay:
    """Repeats the batches of the newest step of a training in a copy of the process, and names the fault.

    Of several processes each repeats its own batches, without the others.
    """

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        self._models = models
        self._kept: list[Any] = []
        self._random: Tensor | None = None
        self._num_unseen = 0
        self._most_unseen = 0
        self._is_on_host = all(p.device.type == "cpu" for model in models.values() for p in model.parameters())
        self.is_rehearsal = False

    @property
    def can_fork(self) -> bool:
        """Whether a copy of the process can compute: on the CPU, where the system has `fork`."""
        return self._is_on_host and hasattr(os, "fork") and not torch.cuda.is_initialized()

    def keep(self, batch: Any) -> None:
        """Keep `batch` until the step that it belongs to is settled."""
        if not self._kept:
            self._num_unseen += 1
            if self._num_unseen > self._most_unseen:
                self._keep_random()
        if len(self._kept) < _MOST_BATCHES:
            self._kept.append(batch)

    def _keep_random(self) -> None:
        """Keep the state of torch's generator; less often while the training draws no numbers from it."""
        former, self._random = self._random, torch.get_rng_state()
        is_drawn = former is None or not torch.equal(former, self._random)
        self._most_unseen = 0 if is_drawn else min(2 * self._most_unseen + 1, _MOST_UNSEEN)
        self._num_unseen = 0

    def forget(self) -> None:
        """Forget the batches: their step is settled."""
        self._kept = []

    def begin(self, step: int) -> Repetition | None:
        """Copy the process, and return the copy, which repeats step `step`; `None` in the copy itself.

        Where the system refuses a copy, as without memory for it, the result has the reason.
        """
        try:
            reader, writer = os.pipe()
        except OSError as error:
            return RefusedReplay(step, error)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the other threads are not needed in the copy
                process = os.fork()
        except OSError as error:
            os.close(reader)
            os.close(writer)
            return RefusedReplay(step, error)
        if process:
            os.close(writer)
            return RunningReplay(process, reader, step)
        os.close(reader)
        self.is_rehearsal = True
        self._out = writer
        return None

    def batches(self, frame: FrameType | None, losses: Sequence[float | Tensor]) -> Generator[Any]:
        """Yield the kept batches to the loop's body, in the copy of the process, which ends with this generator.

        `frame` is the loop's: an exception in it ends the copy too, before any handler runs. `losses` gets the
        scalars on which `backward` is called.
        """
        self._losses = losses
        try:
            _leave_terminal()
            leave_group(self._models.values())
            _end_at_exceptions(frame, self._report)
            torch.set_num_threads(1)  # the threads of the pool were not copied
            torch.compiler.set_stance("force_eager")
            assert self._random is not None
            torch.set_rng_state(self._random)
            model = _together({name: unwrapped(model) for name, model in self._models.items()})
            for parameter in model.parameters():
                parameter.grad = None
            self._tracer = Tracer(model)
            self._terms: dict[str, Tensor] = {}
            for number, batch in enumerate(self._kept):
                self._tracer.batch = number
                note_inputs(self._tracer, tensors_in(batch, "input"))
            note_weights(self._tracer, model)
            self._model = model
            with self._tracer.watching():
                for number, batch in enumerate(self._kept):
                    self._tracer.batch = number
                    yield batch
        finally:
            self._report()

    def note_terms(self, terms: Mapping[str, Tensor | float]) -> None:
        """Look at loss terms in the repetition."""
        self._terms = {name: value.detach() for name, value in terms.items() if isinstance(value, Tensor)}
        if not all(map(is_finite, self._terms.values())):
            self._report()

    def note_gradients(self) -> None:
        """Look at the gradients in the repetition, where the optimizer would use them, and end it."""
        self._report()

    def _report(self) -> None:
        """Write what the repetition found to the training, and end the copy of the process."""
        try:
            fault = self._found()
            with os.fdopen(self._out, "w", encoding="utf-8") as out:
                out.write(to_text(fault))
        finally:
            os._exit(0)

    def _found(self) -> Fault:
        grads = [p.grad for p in self._model.parameters() if p.grad is not None]
        losses = [loss for loss in self._losses if isinstance(loss, Tensor)]
        terms = tuple(name for name, value in self._terms.items() if not is_finite(value))
        origin = self._tracer.origin_of([*self._terms.values(), *losses, *grads])
        fault = fault_of(origin, terms)
        return fault if origin is not None else replace(fault, detail=f"{fault.detail}; {_MOVED_ON}")


def _leave_terminal() -> None:
    """Let the copy write to nowhere: what the loop prints has been printed once."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)


def _end_at_exceptions(frame: FrameType | None, end: Any) -> None:
    """Call `end` when an exception reaches `frame`, before its handlers run."""

    def trace(current: FrameType, event: str, argument: Any) -> Any:
        if current is frame and event == "exception":
            end()
        return trace if current is frame else None

    if frame is not None:
        frame.f_trace = trace
        frame.f_trace_lines = False
        sys.settrace(_trace_nothing)


def _trace_nothing(frame: FrameType, event: str, argument: Any) -> None:
    """Trace no new frame: a global trace function must exist for the one of the loop to be called."""


class _Together(nn.Module):
    """Several networks under their names."""

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, model in models.items():
            self.add_module(name.replace(".", "_"), model)


def _together(models: Mapping[str, nn.Module]) -> nn.Module:
    return next(iter(models.values())) if len(models) == 1 else _Together(models)

"""Name the operation behind a non-finite step of a foreign training, without side effects on it.

In an own loop on the CPU a copy of the process (`fork`) gets the same batches again. It runs the loop's body once more,
traced, and nothing that it does reaches the training. Elsewhere the network alone is repeated, with its kept inputs and
the gradients that reached its outputs.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import FrameType
from typing import Any, Final

import torch
from torch import Tensor, nn

from engine.adapters.hooks.gradient_reader import unwrapped
from engine.adapters.replays.alone import leave_group
from engine.adapters.replays.pending_replays import Repetition
from engine.forensics.nan_tracer import Origin, Tracer
from engine.forensics.tensor_stats import is_finite
from engine.outputs.fault_report import NOT_REPLAYED, REPRODUCED, VANISHED, Fault
from engine.protocol.codec import WireError, from_json, from_text, to_text

_MOST_BATCHES: Final = 64
_MOST_UNSEEN: Final = 15
"""Maximum number of steps in a row without a look at the generator, while it does not change."""
_MOVED_ON: Final = (
    "counters of the loop had moved on by then, so a fault that depends on one, or on a file, does not come again"
)
_SECONDS: Final = 60.0
"""Maximum duration of a repetition."""


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
            _note_roots(self._tracer, model, self._kept)
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


def fault_of(origin: Origin | None, terms: tuple[str, ...]) -> Fault:
    """Return the fault with this origin; `terms` are the loss terms that are not finite."""
    if origin is None:
        return Fault(
            VANISHED,
            detail="the step was finite when it was repeated with the same batches, weights and random numbers",
        )
    place = origin.place
    term = terms[0] if len(terms) == 1 else ""
    detail = ""
    if origin.inputs and origin.direction in ("input", "weight"):
        (stats,) = origin.inputs
        detail = f"{stats.num_nan} NaN and {stats.num_inf} Inf in it"
    return Fault(
        REPRODUCED,
        origin.direction,
        place.module or (term or "the loop" if origin.direction in ("forward", "backward") else ""),
        place.operation,
        term=term,
        source=place.source,
        detail=detail,
        terms=terms,
        inputs=origin.inputs,
    )


class RefusedReplay:
    """A repetition of step `step` that could not begin, because the system refused a copy of the process."""

    def __init__(self, step: int, error: OSError) -> None:
        self.step = step
        self.started = time.monotonic()
        self._reason = error.strerror or str(error)

    def result(self) -> Fault | None:
        """Return the reason."""
        return Fault(NOT_REPLAYED, detail=f"the process could not be copied for a repetition: {self._reason}")

    def abandon(self) -> None:
        """Do nothing: there is no copy."""


class RunningReplay:
    """A copy of the process that repeats step `step`; `reader` is the end of its pipe."""

    def __init__(self, process: int, reader: int, step: int) -> None:
        self.step = step
        self.started = time.monotonic()
        self._process = process
        self._reader = reader
        self._text = b""
        os.set_blocking(reader, False)

    def result(self) -> Fault | None:
        """Return the fault once the copy has ended, `None` before. A copy that takes too long is ended."""
        with suppress(BlockingIOError):
            while part := os.read(self._reader, 65536):
                self._text += part
            return self._ended()
        if time.monotonic() - self.started < _SECONDS:
            return None
        os.kill(self._process, signal.SIGKILL)
        self._end()
        return Fault(NOT_REPLAYED, detail=f"the repetition took more than {_SECONDS:.0f} s")

    def _ended(self) -> Fault:
        self._end()
        try:
            return from_json(Fault, from_text(self._text.decode()))
        except (WireError, UnicodeDecodeError, ValueError):
            return Fault(NOT_REPLAYED, detail="the repetition in a copy of the process failed")

    def _end(self) -> None:
        os.close(self._reader)
        with suppress(ChildProcessError):
            os.waitpid(self._process, 0)

    def abandon(self) -> None:
        """End the copy without a result."""
        with suppress(ProcessLookupError):
            os.kill(self._process, signal.SIGKILL)
        self._end()


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


def _note_roots(tracer: Tracer, model: nn.Module, batches: Iterable[Any]) -> None:
    for number, batch in enumerate(batches):
        tracer.batch = number
        for name, tensor in tensors_in(batch, "input"):
            tracer.root(tensor, "input", "", name)
    for name, parameter in model.named_parameters():
        module, _, own = name.rpartition(".")
        tracer.root(parameter.detach(), "weight", module, own)


def tensors_in(value: Any, name: str) -> Generator[tuple[str, Tensor]]:
    """Yield the tensors in nested lists, tuples and mappings, with names such as 'input[0]' and 'input.pixels'."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from tensors_in(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from tensors_in(item, f"{name}[{number}]")

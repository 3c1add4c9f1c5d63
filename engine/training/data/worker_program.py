"""What a worker process does: it receives spans and sends batches, or the errors of assembling them."""

from __future__ import annotations

import pickle
import signal
import traceback
from multiprocessing.connection import Connection
from typing import Any, cast

import torch

from engine.errors import UserError, in_words
from engine.protocol.record import record
from engine.task import Samples
from engine.training.data.batch import Batch
from engine.training.data.spans import Span, assemble


@record
class Packed:
    """A batch with arrays instead of tensors, which makes pickling several times faster."""

    fields: dict[str, Any]

    def unpack(self) -> Batch:
        """Return the batch."""
        tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in self.fields["tensors"].items()}
        return Batch(tensors=tensors, **{name: value for name, value in self.fields.items() if name != "tensors"})


@record
class Failed:
    """An exception from a worker."""

    error: Exception

    def unpack(self) -> Batch:
        """Raise the exception."""
        raise self.error


def serve(pipe: Connection, samples: Samples) -> None:
    """Receive spans and send batches until the other end closes. Interrupts and hang-ups are left to the engine.

    So are the signals of schedulers, which send them to every process of a job.
    """
    for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    torch.set_num_threads(1)
    while True:
        try:
            span = cast(Span, pipe.recv())
            pipe.send_bytes(_answer(samples, span))
        except (EOFError, OSError):
            return


def _failed(error: Exception) -> bytes:
    """Return `error` pickled, with its traceback as a note; if it cannot be pickled, an error in its words that can.

    A UserError gets no traceback: its message is complete.
    """
    trace = f"in a data worker:\n{''.join(traceback.format_exception(error))}"
    try:
        if not isinstance(error, UserError):
            error.add_note(trace)
        packed = pickle.dumps(Failed(error))
        pickle.loads(packed)
    except Exception:  # pickle raises whatever an object's own methods raise
        other = RuntimeError(in_words(error))
        other.add_note(trace)
        return pickle.dumps(Failed(other))
    return packed


def _answer(samples: Samples, span: Span) -> bytes:
    try:
        batch = assemble(samples, span)
    except Exception as error:  # every error is raised again by the caller of `answer`
        return _failed(error)
    fields = {name: getattr(batch, name) for name in Batch.__slots__}
    arrays = {name: tensor.numpy() for name, tensor in batch.tensors.items()}
    return pickle.dumps(Packed({**fields, "tensors": arrays}), protocol=5)

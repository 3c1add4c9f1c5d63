"""Contexts for slow imports: without garbage collection, and with one sentence where the memory is not enough."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

from engine.errors import UserError


@contextmanager
def imports_only() -> Generator[None]:
    """Keep garbage collection off: scanning the objects of imports, which stay alive, takes a third of their time.

    Later collections pass over them too.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


@contextmanager
def enough_memory() -> Generator[None]:
    """Raise UserError where the memory is not even enough to load the packages."""
    try:
        yield
    except (ImportError, MemoryError) as error:
        if isinstance(error, ImportError) and "map segment" not in str(error):
            raise
        raise UserError(
            "the memory is not enough to start: end other programs, or raise the limit (ulimit -v)"
        ) from error

"""Let a copy of one of several processes compute alone, so that it neither waits for the others nor answers them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def leave_group(models: Iterable[nn.Module]) -> None:
    """Let every exchange between processes return what this one has given, in a copy of the process only.

    Its connections are those of the process that it is a copy of: they are closed, since both would speak on them.
    """
    _close_sockets()
    if not (dist.is_available() and dist.is_initialized()):
        return
    kinds: Any = torch._C._distributed_c10d  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue, reportUnknownMemberType]
    groups: Any = dist.distributed_c10d._world.pg_map  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    for group in list(groups):
        fake = getattr(kinds.FakeProcessGroup, "_create_internal", kinds.FakeProcessGroup)(group.rank(), group.size())
        group._register_backend(torch.device("cpu"), dist.ProcessGroup.BackendType.CUSTOM, fake)
    wrappers = [one for model in models for one in model.modules() if isinstance(one, DistributedDataParallel)]
    for wrapper in wrappers:
        inner: nn.Module = wrapper.module
        wrapper.forward = _called(inner)


def _called(model: nn.Module) -> Any:
    """Return a function that calls `model`: as an attribute of a module the model itself would be a child of it."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return model(*args, **kwargs)

    return call


def _close_sockets() -> None:
    """Put a device that answers nothing in the place of each connection."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    numbers = [int(path.name) for path in Path("/dev/fd").iterdir() if path.name.isdigit()]
    for number in numbers:
        with suppress(OSError):  # the descriptor of the listing itself is closed
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.dup2(nowhere, number)

"""Keep the running statistics of normalization layers out of a non-finite step: one bad batch would make them NaN."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase  # pyright: ignore[reportPrivateUsage]

from .gradients.parameter_names import ParameterNames


class BufferGuard:
    """Copies of the running statistics of named networks, which each forward pass in training mode changes."""

    def __init__(self, names: ParameterNames) -> None:
        self._names = names
        self._copy_all()

    def take_up_new(self) -> None:
        """Copy the statistics of all networks if further ones were named."""
        if self._names.num_changes != self._num_changes:
            self._copy_all()

    def _copy_all(self) -> None:
        models = self._names.models
        self._num_changes = self._names.num_changes
        layers = [layer for model in models.values() for layer in model.modules() if isinstance(layer, _NormBase)]
        self._live: list[Tensor] = []
        self._kept: list[Tensor] = []
        self._groups: list[tuple[list[Tensor], list[Tensor], Tensor]] = []
        """Buffers of one kind, views of their copies, and the copies as one vector."""
        buffers = [buffer for layer in layers for buffer in layer.buffers()]
        for kind in dict.fromkeys((buffer.device, buffer.dtype) for buffer in buffers):
            alike = [buffer for buffer in buffers if (buffer.device, buffer.dtype) == kind]
            flat = torch.cat([buffer.detach().reshape(-1) for buffer in alike])
            parts = flat.split([buffer.numel() for buffer in alike])
            views = [part.view_as(buffer) for part, buffer in zip(parts, alike, strict=True)]
            self._live += alike
            self._kept += views
            self._groups.append((alike, views, flat))
        self.has_any = bool(self._live)

    def settle(self, finite: Tensor | None, *, is_skipped: bool) -> None:
        """Keep or restore the statistics after an update. `finite` is its verdict while it is still on the device."""
        if finite is not None:
            self.select(finite)
        elif is_skipped:
            self.undo()
        else:
            self.keep()

    def keep(self) -> None:
        """Copy the statistics: they belong to an update that counts."""
        if self._live:
            _copy(self._live, self._kept)

    def undo(self) -> None:
        """Restore the statistics as they were at the last `keep`."""
        if self._live:
            _copy(self._kept, self._live)

    @torch.no_grad()
    def select(self, finite: Tensor) -> None:
        """Restore the statistics unless `finite`, which stays on its device, and copy the result."""
        for live, views, flat in self._groups:
            torch.where(finite, torch.cat([buffer.reshape(-1) for buffer in live]), flat, out=flat)
            _copy(views, live)


@torch.no_grad()
def _copy(values: list[Tensor], into: list[Tensor]) -> None:
    torch._foreach_copy_(into, values)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]

"""The network as it is exported: a module from tensors to tensors, and real inputs to check it with."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.errors import UserError
from engine.protocol.record import record
from engine.task import CanExport, ExportPlan, ReportsProgress, Samples, untapped
from engine.training.data.spans import samples_at, stacked
from engine.training.inference.export.plan_check import check_outputs, check_plan, check_samples, names_of
from engine.training.inference.trained_model import TrainedModel

CHECKED: Final = (1, 3, 7)
"""Numbers of samples in the batches of the check; the example of the export has two."""

Arrays = Mapping[str, NDArray[np.float32]]
"""Inputs or outputs by their names in the file."""


class ExportedNetwork(nn.Module):
    """Computes the outputs that an application needs from a network's inputs, in their order.

    It returns one tensor for a single output, else a tuple.
    """

    def __init__(self, trained: TrainedModel, task: CanExport, plan: ExportPlan) -> None:
        super().__init__()
        self.model = trained.model
        self.input_names = names_of(plan)
        self._tensors = tuple(plan.inputs)
        self._forward, self._components = trained.task.forward, trained.components
        self._outputs = task.export_outputs

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the outputs for tensors in the order of the plan's inputs."""
        found = tuple(self.by_name(*inputs).values())
        return found[0] if len(found) == 1 else found

    def by_name(self, *inputs: Tensor) -> Mapping[str, Tensor]:
        """Return the outputs by their names."""
        batch = dict(zip(self._tensors, inputs, strict=True))
        return self._outputs(self._forward(self.model, batch, self._components, untapped))

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs for arrays."""
        with torch.no_grad():
            found = self.by_name(*(torch.from_numpy(inputs[name]) for name in self.input_names))
        return {name: value.contiguous().numpy() for name, value in found.items()}


@record
class Exportable:
    """A network that is ready for export: the module, its plan, an example of its outputs, and inputs to check it."""

    network: ExportedNetwork
    plan: ExportPlan
    outputs: Mapping[str, Tensor]

    @property
    def examples(self) -> tuple[Tensor, ...]:
        """Two samples of each input."""
        return tuple(self.plan.inputs.values())

    def noise(self, count: int) -> Arrays:
        """Return `count` samples that repeat the plan's example."""
        return {
            name: np.concatenate([value.numpy()] * (count // 2 + 1))[:count]
            for name, value in zip(self.network.input_names, self.examples, strict=True)
        }

    def samples(self, samples: Samples, indices: Sequence[int]) -> Arrays:
        """Return the inputs of the samples at `indices`."""
        batch = stacked(samples_at(samples, 0, indices))
        return {
            name: batch[tensor].numpy() for name, tensor in zip(self.network.input_names, self.plan.inputs, strict=True)
        }


def exportable(trained: TrainedModel) -> Exportable:
    """Return a network prepared for export. Raises UserError if its task does not say how."""
    task = trained.task
    if not isinstance(task, CanExport):
        raise UserError(
            f"the task {task.spec.name!r} does not say what its network reads: add export_plan and export_outputs to "
            "its class, or export the weights with --format safetensors"
        )
    with _named("export_plan()"):
        plan = task.export_plan(trained.config)
    check_plan(plan)
    network = ExportedNetwork(trained, task, plan).eval()
    with torch.no_grad(), _named("with the example of export_plan(), forward() or export_outputs()"):
        outputs = network.by_name(*plan.inputs.values())
    check_outputs(plan, outputs)
    return Exportable(network, plan, outputs)


@contextmanager
def _named(what: str) -> Generator[None]:
    """Raise UserError in place of an error in the block, which calls a task's own code."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a task's own code may raise anything
        raise UserError(f"{what} raises {type(error).__name__}: {str(error).strip()}") from error


def samples_for(
    trained: TrainedModel, plan: ExportPlan, data: str, say: Callable[[str], None], *, must: bool
) -> Samples | None:
    """Return the validation samples of the run's data, or of the directory `data`.

    Return `None` if they cannot be read or do not fit the plan, after saying why. Raises UserError instead with `must`.
    """
    task, config = trained.task, trained.config
    if data:
        config = config.model_copy(update={"data": config.data.model_copy(update={"path": data})})
    try:
        with _named("open_data()"):
            splits = task.open_data_with(config, say) if isinstance(task, ReportsProgress) else task.open_data(config)
            if not len(splits.val):
                raise UserError("the data have no validation samples")
            check_samples(plan, stacked(samples_at(splits.val, 0, [0])))
    except UserError as error:
        if must:
            raise
        say(f"the check takes random numbers: {error}")
        return None
    return splits.val


def difference(found: Arrays, expected: Arrays) -> float:
    """Return the largest difference of any output, relative to its largest finite value if that is above 1; NaN counts.

    Equal infinities, as of classes that are ruled out, do not differ.
    """
    every = [_difference(found[name].astype(np.float64), value.astype(np.float64)) for name, value in expected.items()]
    return float(np.max(every))  # unlike Python's, it is NaN if one of them is, whichever


def _difference(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    with np.errstate(invalid="ignore"):
        apart = np.where(found == expected, 0.0, np.abs(found - expected))
    largest = np.abs(np.where(np.isfinite(expected), expected, 0.0)).max()
    return float(apart.max() / max(1.0, float(largest)))

"""Apply events and measurements to the run state, and record them in the journal."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Unpack

import numpy as np
from numpy.typing import NDArray

from engine.journal.disk.schema import LAYERS
from engine.journal.task_meta import ACT_ZEROS, LAYERS_META, PARAMETER_MEASURES, TASK, LayersMeta, layer_metric
from engine.journal.transaction import StepPoints
from engine.journal.writer import JournalWriter
from engine.outputs.inspection.histogram_file import write_histograms
from engine.outputs.inspection.layer_histograms import LayerHistograms
from engine.outputs.tensorboard.writer import TensorboardWriter
from engine.protocol.codec import to_json
from engine.protocol.commands import ENGINE
from engine.protocol.decide import Outcome
from engine.protocol.events import Activity, ActivityChanged, AlertRaised, Event, HistogramTaken, TaskDescribed
from engine.protocol.evolve import evolve
from engine.protocol.state import Measurements, RunState, with_measured
from engine.protocol.wire import spec_to_json

if TYPE_CHECKING:
    from engine.training.gradients.layer_values import LayerNames, LayerValues

VANISHED: Final = "vanished"
"""The kind of alerts about files of the run that were deleted during training."""


class RunRecorder:
    """Holds the current RunState, and journals every change of it. Rows of metrics go to `journal` itself.

    Given `begin`, which opens the journal and returns TensorBoard's writer, it records in memory until then.
    """

    def __init__(
        self,
        state: RunState,
        journal: JournalWriter,
        *,
        begin: Callable[[], TensorboardWriter | None] | None = None,
    ):
        self.journal = journal
        self._state = state
        self._has_events = False
        self.tensorboard: TensorboardWriter | None = None
        self._begin = begin
        self._failed: set[str] = set()
        self.layers = LayerRecorder(journal)
        self._listener: Callable[[Event, str, int], None] = _nobody

    def listen(self, listener: Callable[[Event, str, int], None]) -> None:
        """Call `listener` with each event from now on, its actor, and the step that it changes the state at."""
        self._listener = listener

    @property
    def state(self) -> RunState:
        """The current state; `record_event`, `record_outcome` and `update` change it."""
        return self._state

    def start_from(self, state: RunState) -> None:
        """Replace the state that the first event applies to. Raises RuntimeError after an event."""
        if self._has_events:
            raise RuntimeError("the run has recorded an event: only events change what was decided")
        self._set(state)

    def begin(self) -> None:
        """Start writing to disk if it was deferred. A second call does nothing. Raises UserError."""
        begin, self._begin = self._begin, None
        if begin is not None:
            self.tensorboard = begin()
            self.journal.copy_rows_to(self.tensorboard)

    def record_event(self, event: Event, *, actor: str = ENGINE, reason: str = "", step: int | None = None) -> None:
        """Record an event that does not answer a command; with another spec, also the journal's copy of it.

        `step` is the step that the event is about, if it is not the newest: on a GPU reports are read later.
        """
        step = self.state.step if step is None else step
        self._evolve(event, actor, step)
        if isinstance(event, TaskDescribed):  # before the event: its readers find the spec
            self.journal.set_meta(TASK, spec_to_json(event.spec))
        self.journal.record_event(step, event, actor=actor, reason=reason)

    def record_outcome(self, outcome: Outcome, event: Event, *, actor: str, command_id: int | None) -> None:
        """Record the `outcome` of a command, and the resulting `event`."""
        self._evolve(event, actor, self.state.step)
        self.journal.record_event(
            self.state.step,
            event,
            status=outcome.status,
            reason=outcome.reason,
            actor=actor,
            command_id=command_id,
        )

    def update(self, **measured: Unpack[Measurements]) -> None:
        """Replace measured fields of the state."""
        self._set(with_measured(self.state, **measured))

    def _evolve(self, event: Event, actor: str, step: int) -> None:
        """Change the state before the event is recorded, so that readers of the event find its effect."""
        self._has_events = True
        self._set(evolve(self.state, event, step, actor=actor))
        self._listener(event, actor, step)

    def _set(self, state: RunState) -> None:
        self._state = state
        self.journal.record_state(state)

    def set_activity(self, activity: Activity) -> None:
        """Record a change of activity, if it is one."""
        if self.state.activity is not activity:
            self.record_event(ActivityChanged(self.state.activity, activity))

    def record_preview(self, tag: str, image_HWC: NDArray[np.uint8]) -> None:
        """Record a picture for TensorBoard: (H, W, 1 or 3), 0..255."""
        if self.tensorboard:
            self.tensorboard.record_images(self.state.step, tag, image_HWC)

    def watch_losses(self) -> None:
        """Raise an alert for each loss and repair of the journal's files."""
        for loss in self.journal.take_losses():
            self.record_event(AlertRaised(VANISHED, loss))

    def watch_writers(self) -> None:
        """Raise an alert at the first failure of each writer, such as a full disk. Training continues.

        A resumed run has new writers with new failures, so this memory ends with the process.
        """
        if failure := self.journal.failure:
            self._alert_of_failure("journal", f"the journal cannot be written: {failure}")
        if self.tensorboard and (failure := self.tensorboard.failure):
            self._alert_of_failure("tensorboard", f"TensorBoard stopped: {failure}")

    def _alert_of_failure(self, writer: str, message: str) -> None:
        if writer not in self._failed:
            self._failed.add(writer)
            self.record_event(AlertRaised(writer, message, "free disk"))

    def close(self) -> None:
        """Write the remaining records and close both writers."""
        if self.tensorboard:
            self.tensorboard.close()
        self.journal.close()
        for loss in self.journal.take_losses():  # too late for an alert
            logging.getLogger(__name__).warning("%s", loss)


def record_histograms(recorder: RunRecorder, taken: LayerHistograms) -> None:
    """Write the histograms of a layer to the run's directory and to TensorBoard, and record the event."""
    if recorder.tensorboard:
        recorder.tensorboard.record_histograms(taken)
    try:
        path = write_histograms(recorder.journal.path.parent, taken)
    except OSError as error:
        message = f"the histograms of {taken.layer} at step {taken.step} are lost: {error.strerror or error}"
        recorder.record_event(AlertRaised("histogram", message, "free disk, and take them again"))
    else:
        recorder.record_event(HistogramTaken(taken.layer, taken.step, f"{path.parent.name}/{path.name}"))


def _nobody(event: Event, actor: str, step: int) -> None:
    """Hear nothing of an event."""


class LayerRecorder:
    """Records the numbers of single layers, and describes the layers once."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._described: tuple[LayerNames, int] | None = None
        self._metrics: tuple[str, ...] = ()

    def record(self, step: int, epoch: float, measured: LayerValues, every_steps: int) -> None:
        """Record the numbers of step `step` (from 1), which are measured every so many steps."""
        names = measured.names
        if (names, every_steps) != self._described:
            numbers = [layer_metric(name, measure) for measure in PARAMETER_MEASURES for name in names.parameters]
            self._described = names, every_steps
            self._metrics = (*numbers, *(layer_metric(name, ACT_ZEROS) for name in names.modules))
            sizes = dict(zip(names.parameters, names.sizes, strict=True))
            self._journal.set_meta(LAYERS_META, to_json(LayersMeta(every_steps, sizes)))
        row = measured.values[None]
        self._journal.record_points(StepPoints([step], [epoch], [time.time()], self._metrics, row, LAYERS))

"""Measure the validation split between steps, and record the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from engine.config.tree import RunConfig
from engine.outputs.inspection.preview_writer import PreviewWriter
from engine.outputs.inspection.strip_file import Remembered, remembered_in, thumbnails_of
from engine.outputs.preview_file import Preview
from engine.protocol.events import Activity, AlertRaised, ValidationCompleted
from engine.protocol.state import RunState
from engine.runtime.outages.validation_parts import Halving, PartedMeasure, alert_of
from engine.runtime.recorder import RunRecorder
from engine.supervision.run_memory import RunMemory
from engine.task import HasPreviews
from engine.training.train_state import TrainState, amp_dtype
from engine.training.validation.evaluate import evaluate
from engine.training.validation.result import Validation, ValidationPlan


class Validates(Protocol):
    """Measures the validation split of a run, and keeps its pictures."""

    def validate(self) -> ValidationCompleted | None:
        """Measure the validation split now. Return `None` if the run was stopped meanwhile."""
        ...

    def report_stuck_readers(self) -> None:
        """Raise an alert for each stuck data worker."""
        ...

    def forget_after(self, step: int) -> None:
        """Forget the pictures after `step`, after a rollback."""
        ...

    def close(self) -> None:
        """Finish writing pictures."""
        ...


class Validator:
    """Validate one run. `should_stop` returns whether a validation must be aborted to end the run."""

    def __init__(
        self,
        config: RunConfig,
        train_state: TrainState,
        recorder: RunRecorder,
        memory: RunMemory,
        previews: PreviewWriter,
        should_stop: Callable[[], bool],
    ):
        self._config = config
        self._train_state = train_state
        self._recorder = recorder
        self._memory = memory
        self._previews = previews
        self._should_stop = should_stop
        self._remembered: Remembered | None = None
        self._measured_in_parts = PartedMeasure(self._note_halved)

    def validate(self) -> ValidationCompleted | None:
        """Measure the validation split now. Return `None` if the run was stopped meanwhile.

        Raises DataGoneError if the data are unreachable, and NoSampleFitsError if memory is too small for one sample.
        """
        before = self._recorder.state.activity
        self._recorder.set_activity(Activity.VALIDATING)
        try:
            if self._remembered is None:
                self._remembered = remembered_in(self._previews.run_dir)
            plan = validation_plan(self._recorder.state, self._config, self._remembered.sample_ids)
            done = self._measure(replace(plan, averaged=self._train_state.train_step.average.validated))
        finally:
            self._recorder.set_activity(before)
        if done is not None:
            self._record(done)
        return None if done is None else done.summary

    def _measure(self, plan: ValidationPlan) -> Validation | None:
        state, train_step = self._train_state, self._train_state.train_step
        with train_step.average.in_use():
            return evaluate(
                train_step.objective,
                state.model,
                state.validation,
                plan,
                self._should_abort,
                self._measured_in_parts,
            )

    def _note_halved(self, halving: Halving) -> None:
        self._recorder.record_event(alert_of(self._recorder.state.step, halving))

    def forget_after(self, step: int) -> None:
        """Forget the pictures after `step`, after a rollback."""
        self._previews.forget_after(step)
        self._remembered = None

    def close(self) -> None:
        """Finish writing pictures."""
        self._previews.close()

    def _should_abort(self) -> bool:
        self.report_stuck_readers()
        return self._should_stop()

    def report_stuck_readers(self) -> None:
        """Raise an alert for each stuck data worker."""
        streams = (self._train_state.stream, self._train_state.validation)
        for complaint in [said for stream in streams for said in stream.take_complaints()]:
            self._recorder.record_event(
                AlertRaised("data worker", f"{complaint}: it is replaced", "check the disk of the data")
            )

    def _record(self, done: Validation) -> None:
        summary = done.summary
        metrics = {
            "val/loss": done.loss,
            **{f"val/loss/{term}": value for term, value in done.terms.items()},
            **{f"val/{name}": value for name, value in self._measured(summary)},
        }
        step, progress = self._recorder.state.step, self._train_state.progress
        self._recorder.journal.record_validation(step, progress, tuple(metrics), tuple(metrics.values()))
        doubt = done.doubt(step)
        if doubt is not None and not self._memory.is_validation_doubted:
            self._recorder.record_event(doubt)
        self._memory.is_validation_doubted = doubt is not None
        task = self._train_state.task
        if done.previews and isinstance(task, HasPreviews):
            first = tuple(preview for preview in done.previews if preview.place < self._config.validation.num_previews)
            self._recorder.record_preview("validation", task.preview_grid(first))
            self._keep(done.previews, [preview.sample_id for preview in first])

    def _keep(self, previews: tuple[Preview, ...], first: list[str]) -> None:
        """Write the pictures, and remember which samples the next validation shows again."""
        settings, step = self._config.validation, self._recorder.state.step
        former = self._remembered or Remembered({})
        worst = [preview.sample_id for preview in previews if 0 < preview.rank <= settings.num_worst]
        names = [preview.sample_id for preview in sorted(previews, key=lambda preview: preview.place)]
        self._remembered = former.after(step, worst, names, settings.num_remembered)
        kept = self._remembered.sample_ids.union(first, worst)
        shown = tuple(preview for preview in previews if preview.sample_id in kept)
        self._previews.submit(step, shown, thumbnails_of(shown, self._remembered.worst_at))

    def _measured(self, summary: ValidationCompleted) -> Iterator[tuple[str, float]]:
        """Yield the metrics with a value, and the score. A class that does not occur has none."""
        score = self._recorder.state.spec.score
        return ((name, value) for name, value in summary.metrics.items() if name == score or not math.isnan(value))


def validation_plan(state: RunState, config: RunConfig, remembered: frozenset[str]) -> ValidationPlan:
    """Return the settings of a validation now, which shows the samples `remembered` too.

    If there are none yet, it shows as many of the split's first samples as can be remembered.
    """
    settings = config.validation
    fills = settings.num_previews and not remembered
    return ValidationPlan(
        active=state.refinements,
        weights=state.loss_weights,
        batch_size=settings.batch_size,
        num_previews=max(settings.num_previews, settings.num_remembered if fills else 0),
        amp=amp_dtype(config),
        num_worst=settings.num_worst,
        remembered=remembered,
    )

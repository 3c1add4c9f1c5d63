"""Record the steps of a foreign training, and run monitors and guardian on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from engine.adapters.hooks.gradients.gradient_norms import part_norms
from engine.adapters.hooks.gradients.parameter_names import listed
from engine.adapters.run.state.attachable import Attachable
from engine.adapters.steps.arrival import bring_to_host
from engine.adapters.steps.step_reading import StepReading, Verdict, values_of, verdict_of, with_total
from engine.adapters.steps.step_table import in_tables, is_plain, table_of
from engine.journal.transaction import StepPoints
from engine.protocol.events import AlertRaised, Event, SpikeDetected, StepSkipped
from engine.runtime.monitoring.supervisor import Supervisor, TrainingDivergedError
from engine.runtime.recorder import RunRecorder, record_histograms
from engine.supervision.guardian_types import StepObservation
from engine.supervision.run_memory import RunMemory

_RAW: Final = "loss_raw/"
_NON_FINITE: Final = "non-finite step"
_REMEDY: Final = "lower the learning rate, or clip the gradient norm"


class StepRecords:
    """Records steps in their order. The caller holds the lock of the run."""

    def __init__(self, recorder: RunRecorder, memory: RunMemory, live: Attachable, supervisor: Supervisor) -> None:
        self._recorder = recorder
        self._memory = memory
        self._live = live
        self._supervisor = supervisor
        self._sum = 0.0
        self._count = 0
        self._rate = recorder.state.samples_per_second

    def record(self, readings: Sequence[StepReading], *, is_newest: bool = True) -> None:
        """Record steps, with what monitors and guardian find in each. `is_newest` is whether no later step waits."""
        done = 0
        bring_to_host(readings)
        with np.errstate(all="ignore"):
            for together in in_tables(readings):
                done += len(together)
                self._record_together(together, is_newest=is_newest and done == len(readings))

    def _record_together(self, readings: Sequence[StepReading], *, is_newest: bool) -> None:
        """Record steps that fit into one table, or a single one."""
        if is_plain(readings[0]):
            self._record_table(readings, is_newest=is_newest)
        else:
            self._record_one(readings[0], is_newest=is_newest)
        for reading in [one for one in readings if one.update.layers is not None or one.update.histograms]:
            self._record_layers(reading)
            self._record_histograms(reading)

    def _record_layers(self, reading: StepReading) -> None:
        """Record the numbers of single layers, if the step was measured."""
        layers, reading.update.layers = reading.update.layers, None
        if layers is not None:
            measured = layers.resolve(counted=verdict_of(reading).is_finite)
            self._recorder.layers.record(reading.number, reading.progress, measured, layers.every)

    def _record_histograms(self, reading: StepReading) -> None:
        """Record the histograms that were requested for the step."""
        taken, reading.update.histograms = reading.update.histograms, ()
        for histograms in taken:
            record_histograms(self._recorder, histograms.resolve(reading.number))

    def _record_table(self, readings: Sequence[StepReading], *, is_newest: bool) -> None:
        """Record steps that counted. The state is measured at those at which something was found, and at the newest."""
        recorder, memory = self._recorder, self._memory
        table = table_of(readings, knows_data=recorder.state.spec.knows_data)
        found = memory.watch.observe_block(table.block(recorder.state))
        losses = table.column("loss/total")
        last = len(readings) - 1
        done = 0
        for row in sorted({*found, last}):
            recorder.journal.record_points(table.points(done, row + 1))
            self._count_steps(readings[done : row + 1], losses[done : row + 1])
            done = row + 1
            reading, events = readings[row], found.get(row, ())
            if events or (is_newest and row == last):
                self._update(reading, losses[row], reading.update.grad_norm)
            for event in events:
                recorder.record_event(event)
            spiked = any(isinstance(event, SpikeDetected) for event in events)
            self._consider(StepObservation(number=reading.number, finite=True, spiked=spiked))

    def record_again(self, reading: StepReading) -> None:
        """Record the row of a step that counted once more, in place of the first one: it has further numbers."""
        bring_to_host([reading])
        if is_plain(reading):
            table = table_of([reading], knows_data=self._recorder.state.spec.knows_data)
            self._recorder.journal.record_points(table.points(0, 1))

    def _count_steps(self, readings: Sequence[StepReading], losses: Sequence[float]) -> None:
        for reading, loss in zip(readings, losses, strict=True):
            self._note_rate(reading)
            self._sum += loss
        self._count += len(readings)
        self._memory.clean_steps += len(readings)
        self._memory.skipped_in_a_row = 0

    def _note_rate(self, reading: StepReading) -> None:
        rate = reading.samples / reading.seconds
        self._rate = 0.9 * (self._rate or rate) + 0.1 * rate

    def _update(self, reading: StepReading, loss: float, grad_norm: float) -> None:
        self._recorder.update(
            step=reading.number,
            epoch=self._live.epoch,
            lr=reading.update.lr,
            loss=loss,
            grad_norm=grad_norm,
            samples_per_second=self._rate,
            clip_rate=self._memory.watch.clip_rate,
        )

    def _record_one(self, reading: StepReading, *, is_newest: bool) -> None:
        """Record a step, run the monitors and the guardian on it.

        The measured state is that of the newest step; the steps before it change it only if something happened.
        """
        values = values_of(reading)
        verdict = verdict_of(reading)
        norms = {f"grad_norm/{part}": norm for part, norm in part_norms(reading.update.norms).items()}
        metrics: dict[str, float] = {
            **values,
            **with_total("grad_norm", verdict.grad_norm, norms),
            **{f"weight_norm/{part}": norm for part, norm in reading.weight_norms.items()},
            "lr": reading.update.lr,
            "samples_per_second": reading.samples / reading.seconds,
            "data_wait": reading.wait,
            "skipped": float(not verdict.is_finite),
        }
        if not reading.samples:
            del metrics["samples_per_second"]
        recorder, watch = self._recorder, self._memory.watch
        if not recorder.state.spec.knows_data:
            del metrics["data_wait"]
        row = np.array([[*metrics.values()]], np.float32)
        recorder.journal.record_points(
            StepPoints([reading.number], [reading.progress], [reading.time], tuple(metrics), row)
        )
        observed = watch.observe(reading.number, metrics, recorder.state, seconds=reading.seconds)
        self._note_rate(reading)
        if is_newest or observed or not verdict.is_finite:
            self._update(reading, values["loss/total"], verdict.grad_norm)
        for event in observed:
            recorder.record_event(event)
        self._judge(reading, values, verdict, observed)

    def _judge(
        self, reading: StepReading, values: Mapping[str, float], verdict: Verdict, observed: Sequence[Event]
    ) -> None:
        terms = tuple(
            name.removeprefix(_RAW)
            for name, value in values.items()
            if name.startswith(_RAW) and not math.isfinite(value)
        )
        reason = ""
        if verdict.is_finite:
            self._sum += values["loss/total"]
            self._count += 1
            self._memory.clean_steps += 1
            self._memory.skipped_in_a_row = 0
        else:
            self._memory.clean_steps = 0
            self._memory.skipped_in_a_row += 1
            reason = _reason(reading, values, verdict, terms)
            self._note_skip(reading.number, terms, verdict.bad, reason)
        observation = StepObservation(
            number=reading.number,
            finite=verdict.is_finite,
            excused=reading.update.scaler_skipped is not None,
            terms=terms,
            modules=verdict.bad,
            reason=reason,
            spiked=any(isinstance(event, SpikeDetected) for event in observed),
        )
        self._consider(observation)

    def _consider(self, observation: StepObservation) -> None:
        try:
            self._supervisor.on_step(observation)
        except TrainingDivergedError as error:
            self._alert_once("guardian gives up", str(error), "stop the run")

    def _note_skip(self, number: int, terms: tuple[str, ...], bad: tuple[str, ...], reason: str) -> None:
        self._recorder.record_event(StepSkipped(terms, bad, (), reason))
        self._alert_once(_NON_FINITE, f"step {number}: {reason}", _REMEDY)

    def _alert_once(self, kind: str, message: str, remedy: str) -> None:
        if self._memory.note_alert(kind):
            self._recorder.record_event(AlertRaised(kind, message, remedy))

    def take_mean(self) -> float:
        """Return the mean loss of the finite steps since the last call; NaN for none."""
        mean = self._sum / self._count if self._count else math.nan
        self._sum, self._count = 0.0, 0
        return mean


def _reason(reading: StepReading, values: Mapping[str, float], verdict: Verdict, terms: tuple[str, ...]) -> str:
    """Return what was not finite in a skipped step, as a sentence."""
    is_loss_bad = bool(terms) or not math.isfinite(values["loss/total"])
    said = [f"loss {', '.join(terms)}".strip()] if is_loss_bad else []
    said += [f"gradient of {listed(verdict.bad)}"] if verdict.bad else []
    other = "the loss or a gradient of another process" if verdict.is_bad_elsewhere else "the gradient norm"
    left_out = "nothing was updated" if reading.update.count < 2 else "the updates from it were left out"
    reason = f"{' and '.join(said) or other} not finite; {left_out}"
    scale = reading.update.scaler_skipped
    return reason if scale is None else f"{reason} (skipped by the loss scaler, whose scale is {scale:g} now)"

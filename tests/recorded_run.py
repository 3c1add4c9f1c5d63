"""The journal of a phase 2 run that never trained: every metric, every kind of event, the same numbers each time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from engine.journal.inbox import Inbox
from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter
from engine.protocol import events as e
from engine.protocol.commands import Request, Rollback
from engine.protocol.decide import decide, refused
from engine.protocol.events import Activity, Event, Status
from engine.protocol.evolve import evolve
from engine.protocol.state import GateCheck, RunState
from engine.protocol.wire import refusal_of
from engine.tasks.person.spec import LOSS_TERMS, REFINEMENT_OF_TERM, SPEC, active_terms, refinements_of
from tests.person_state import person_state

EPOCH_SECONDS: Final = 1_760_000_000.0
"""The fixed moment at which the recorded run began, in seconds since 1970."""

STEP_SECONDS: Final = 0.5
STEPS_PER_EPOCH: Final = 50
_QUIET_SECONDS: Final = 2.0
TERMS: Final = ("cross_entropy", "dice", "auxiliary", "boundary_aware", "active_contour")
PARTS: Final = ("backbone", "roi_align", "decoder", "instance_head", "boundary_refinement", "active_contour")
CHANCE: Final = {
    "cross_entropy": 1.0986,
    "dice": 0.6667,
    "auxiliary": 0.6931,
    "boundary_aware": 1.3,
    "active_contour": 0.9,
}
WEIGHTS: Final = dict(zip(LOSS_TERMS, (1.0, 0.5, 0.3, 0.1, 0.05, 0.05, 0.05), strict=True))
GATE: Final = (
    GateCheck("steps in phase", "220", ">= 200", True),
    GateCheck("loss slope", "-0.0021 per epoch", "<= 0", True),
    GateCheck("gradient norm", "0.84", "<= 10", True),
    GateCheck("non-finite steps", "2", "0", False),
    GateCheck("validation mIoU", "+0.012", ">= 0", True),
)
STARTED: Final = e.RunStarted(
    device="cpu", num_parameters=21_600_000, num_train_samples=400, num_val_samples=60, total_steps=1000
)
NOTE: Final = "looks [red]bold[/] here \x1b[31mand here\x1b[0m, batch 7"


def metrics_at(step: int, *, terms: Sequence[str] = TERMS, lr: float = 5e-6, nan: bool = False) -> dict[str, float]:
    """Every metric of training step `step` with these loss terms on; `nan`: the active contour was not a number."""
    wave, fade = math.sin(step / 7.0), math.exp(-step / 300.0)
    raw = {
        term: CHANCE[term] * (0.35 + 0.65 * fade) * (1 + 0.04 * wave * (index + 1)) for index, term in enumerate(terms)
    }
    if nan:
        raw["active_contour"] = math.nan
    weighted = {term: raw[term] * WEIGHTS[term] for term in terms}
    norms = {part: (0.2 + 0.1 * index) * (0.5 + fade) * (1.2 + wave / 3) for index, part in enumerate(PARTS)}
    if "active_contour" not in terms:
        norms.pop("active_contour")
    if nan:
        norms |= {"backbone": math.nan, "active_contour": math.inf}
    metrics = {"loss/total": sum(weighted.values())}
    metrics |= {f"loss/{term}": value for term, value in weighted.items()}
    metrics |= {f"loss_raw/{term}": value for term, value in raw.items()}
    metrics |= {f"clamp_hits/{term}": float(step % 97 == 0) for term in terms if term in REFINEMENT_OF_TERM}
    metrics["grad_norm/total"] = math.sqrt(sum(norm * norm for norm in norms.values()))
    metrics |= {f"grad_norm/{part}": norm for part, norm in norms.items()}
    metrics |= {f"weight_norm/{part}": 10.0 + index + step / 1000 for index, part in enumerate(PARTS)}
    metrics |= {"lr": lr, "samples_per_second": 8.0 + wave}
    metrics |= {"data_wait": 0.02 + 0.01 * wave, "skipped": float(nan), "clip/threshold": 1.0 + 0.2 * fade}
    metrics |= {"system/cpu": 55 + 20 * wave, "system/memory": 2100.0 + step / 10}
    metrics |= {"system/gpu": 80 + 10 * wave, "system/gpu_memory": 5300.0}
    if step % 10 == 0:
        shares = {"boundary_refinement": 0.12, "boundary_aware_loss": 0.18, "active_contour_loss": 0.07}
        on = {REFINEMENT_OF_TERM.get(term, "") for term in terms} | {"boundary_refinement"}
        metrics |= {f"grad_share/{name}": share * (1 + wave / 5) for name, share in shares.items() if name in on}
    return metrics


_kept_metrics = lru_cache(maxsize=4000)(metrics_at)
"""Computed once for all tests of a process. The dicts are not changed."""


def validation_at(step: int) -> dict[str, float]:
    """Every metric of the validation after `step`."""
    gain = 1 - math.exp(-step / 250.0)
    ious = {"val/iou_background": 0.85 + 0.1 * gain, "val/iou_target": 0.6 * gain, "val/iou_other": 0.45 * gain}
    losses = {f"val/loss/{term}": CHANCE[term] * (1.05 - 0.6 * gain) for term in TERMS}
    total = sum(losses[f"val/loss/{term}"] * WEIGHTS[term] for term in TERMS)
    by_region = {"val/miou_seed": 0.55 * gain, "val/target_iou": 0.65 * gain}
    miou = sum(ious.values()) / 3
    return {"val/loss": total, **losses, "val/miou": miou, **ious, "val/boundary_f": 0.5 * gain, **by_region}


def record_run(directory: Path, *, steps: int = 400, finished: bool = False) -> Path:
    """Write such a run of `steps` steps (20 or more) into `directory` and return it; its writer is gone by then.

    At 400 steps: promotion at 160 with probation until 260, LR halved at 180, a refusal at 190, NaN at 250 and 251.
    Not `finished`: the run is still under way, but nobody writes it any more; `RecordedRun(directory)` goes on.
    """
    run = RecordedRun(directory, total_steps=max(1000, steps))
    try:
        run.tell(steps)
        if finished:
            run.note(e.RunFinished("all steps done", steps * STEP_SECONDS))
    finally:
        run.close()
    return directory


class _QuietWriter(JournalWriter):
    """A writer without a heartbeat for some seconds: during one, a command could not be sent immediately."""

    def _await_work(self) -> None:
        if not self.failure:
            self._wake.wait(_QUIET_SECONDS)
        super()._await_work()


class RecordedRun:
    """The writer of such a journal, alive until `close`: goes on where `record_run` left it, answers commands.

    Everything is on disk when a call returns. Times in the journal are those of the step, not of the test.
    """

    def __init__(self, directory: Path, **fields: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.journal = _QuietWriter(directory, clock=self._moment)
        self.journal.start()
        start = person_state(
            run=directory.name,
            device="cpu",
            phase=1,
            refinements=refinements_of(1),
            total_steps=1000,
            lr=5e-6,
            batch_size=4,
            loss_weights=MappingProxyType(WEIGHTS),
        )
        left_off = self._left_off()
        self.state = replace(left_off or start, **fields)
        self._mailbox: Inbox | None = None
        self._is_held = False
        if left_off is not None:
            self.observe()

    def begin(self) -> None:
        """The chance levels and the event that training starts."""
        self.journal.set_meta("chance_levels", dict(CHANCE))
        self.observe()
        self.note(STARTED)
        self.note(e.ActivityChanged(Activity.STARTING, Activity.RUNNING))

    def tell(self, steps: int = 400) -> None:
        """The whole story of `record_run`, in `steps` steps."""
        with self.at_once():
            self.begin()
            for share, happen in _STORY:
                self.train(steps * share // 400, nan_steps=(steps * 250 // 400, steps * 251 // 400))
                happen(self)
            self.train(steps)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Write what is recorded within in one transaction at its end, which takes half the time."""
        self._is_held = True
        yield
        self._is_held = False
        self.flush()

    def observe(self, **fields: Any) -> None:
        """Change measured fields of the state."""
        self.state = replace(self.state, **fields)
        self.journal.record_state(self.state)
        self.flush()

    def note(
        self,
        event: Event,
        *,
        status: Status = Status.NOTED,
        reason: str = "",
        actor: str = "engine",
        command_id: int | None = None,
    ) -> None:
        """Record an event at the run's current boundary."""
        self.state = evolve(self.state, event, self.state.step)
        self.journal.record_state(self.state)
        self.journal.record_event(
            self.state.step, event, status=status, reason=reason, actor=actor, command_id=command_id
        )
        self.flush()

    def train(self, last: int, *, nan_steps: Sequence[int] = (), changes: Mapping[str, float] | None = None) -> None:
        """Record the steps after the current one up to `last`; `changes` overwrite metrics of every one."""
        for step in range(self.state.step + 1, last + 1):
            self.state = replace(self.state, step=step, epoch=step // STEPS_PER_EPOCH)
            metrics = self._metrics(step, nan=step in nan_steps) | dict(changes or {})
            self.journal.record_step(step, step / STEPS_PER_EPOCH, tuple(metrics), tuple(metrics.values()))
            if step in nan_steps:
                self._skip(step)
        newest = self._metrics(self.state.step) | dict(changes or {})
        self.observe(
            loss=newest["loss/total"],
            grad_norm=newest["grad_norm/total"],
            samples_per_second=newest["samples_per_second"],
        )

    def validate(self) -> None:
        """Record a validation at the run's current step."""
        values = validation_at(self.state.step)
        epoch = self.state.step / STEPS_PER_EPOCH
        self.journal.record_validation(self.state.step, epoch, tuple(values), tuple(values.values()))
        scores = {name: values[f"val/{name}"] for name in (metric.name for metric in SPEC.metrics)}
        self.note(e.ValidationCompleted(values["val/loss"], scores, 2.5))

    def save(self, *, good: bool, kind: str = "step") -> None:
        """Record a checkpoint in the journal, without a file."""
        name = f"step-{self.state.step:08d}.pt"
        self.note(e.CheckpointSaved(name, kind, self.state.loss or 0.0, self.state.score, good))
        self.observe(checkpoints=(*self.state.checkpoints, name))

    def rewind(self, step: int, checkpoint: str = "step-00000200.pt") -> None:
        """Return to `step`: a new branch supersedes later rows."""
        before = self.state.step
        self.state = replace(self.state, step=step)
        self.journal.open_branch(step)
        self.note(e.RolledBack(checkpoint, before, step))

    def answer_commands(self, *, refuse: str = "") -> list[Request]:
        """Process the commands in the inbox by `decide`, each answered by its event; `refuse` all for that reason."""
        if self._mailbox is None:
            self._mailbox = Inbox(self.directory)
        requests = self._mailbox.poll()
        for request in requests:
            outcome = refused(refuse) if refuse else decide(self.state, request.command)
            event = outcome.event or refusal_of(request.command)
            self.note(event, status=outcome.status, reason=outcome.reason, actor=request.actor, command_id=request.id)
        return requests

    def flush(self) -> None:
        """Wait until everything is on disk, unless more is to be written at once."""
        assert self._is_held or self.journal.flush()

    def close(self) -> None:
        """The process that trained has ended."""
        if self._mailbox is not None:
            self._mailbox.close()
        self.journal.close()

    def _moment(self) -> float:
        return EPOCH_SECONDS + self.state.step * STEP_SECONDS

    def _left_off(self) -> RunState | None:
        """The state that the journal was left in."""
        with closing(JournalReader(self.directory)) as reader:
            state = reader.state()
        return None if state is None else replace(state, activity=Activity.RUNNING)

    def _metrics(self, step: int, *, nan: bool = False) -> dict[str, float]:
        return dict(_kept_metrics(step, terms=active_terms(self.state.refinements), lr=self.state.lr, nan=nan))

    def _skip(self, step: int) -> None:
        """The step was not finite: what the guardian says of it."""
        samples = (f"train/person-{step:05d}.jpg#1", f"train/person-{step:05d}.jpg#2")
        reason = "loss_raw/active_contour is NaN"
        self.note(e.StepSkipped(("active_contour",), ("backbone", "active_contour"), samples, reason))
        self.note(
            e.AlertRaised(
                "non_finite",
                f"step {step}: active_contour is NaN; weights and moments are as they were",
                "SEED.md: lower the LR to 1e-6",
                term="active_contour",
                module="active_contour",
                operation="div",
                at_step=step,
            )
        )
        self.note(
            e.FaultNamed(
                at_step=step,
                verdict="reproduced",
                direction="forward",
                module="active_contour",
                operation="div",
                term="active_contour",
                refinement="active_contour_loss",
                sample_ids=samples,
                folder=f"forensics/step-{step:08d}",
                seconds=0.8,
            )
        )


def _promote(run: RecordedRun) -> None:
    run.observe(gate=GATE)
    run.save(good=True, kind="promotion")
    before = run.state.step
    run.note(e.PhasePromoted(1, 2, ("active_contour_loss",)), status=Status.APPLIED, actor="cockpit")
    run.note(e.ProbationStarted(run.state.good_checkpoint, 1, before + 100))


def _lower_lr(run: RecordedRun) -> None:
    lr = run.state.lr
    run.note(e.LrScaled(lr, lr / 2, run.state.lr_scale / 2), status=Status.APPLIED, actor="cockpit")


def _refuse(run: RecordedRun) -> None:
    reason = "no checkpoint is called 'step-7'; there are step-00000100.pt"
    run.note(refusal_of(Rollback("step-7")), status=Status.REFUSED, reason=reason, actor="send")


def _clamp(run: RecordedRun) -> None:
    reason = "a loss weight's upper bound is 100"
    run.note(e.LossWeightSet("boundary_aware", 0.1, 100.0), status=Status.CLAMPED, reason=reason, actor="send")
    run.note(e.LossWeightSet("boundary_aware", 100.0, 0.1), status=Status.APPLIED, actor="send")
    run.observe(clamp_hits=run.state.clamp_hits + 4)


def _spike(run: RecordedRun) -> None:
    step = run.state.step
    run.train(step + 1, changes={"loss/total": 9.75, "grad_norm/total": 48.0})
    run.note(e.SpikeDetected("loss/total", step + 1, 9.75, 0.9, 14.2))
    run.observe(clip_rate=0.12)


_STORY: Final[tuple[tuple[int, Callable[[RecordedRun], None]], ...]] = (
    (80, RecordedRun.validate),
    (100, lambda run: run.save(good=False)),
    (160, RecordedRun.validate),
    (160, _promote),
    (180, _lower_lr),
    (190, _refuse),
    (200, lambda run: run.save(good=True)),
    (240, RecordedRun.validate),
    (260, lambda run: run.note(e.ProbationEnded(passed=True))),
    (270, _clamp),
    (280, _spike),
    (300, lambda run: run.note(e.NoteAdded(NOTE), actor="cockpit")),
    (320, RecordedRun.validate),
    (320, lambda run: run.save(good=False, kind="best")),
    (400, RecordedRun.validate),
)

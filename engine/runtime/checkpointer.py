"""What the engine does between steps: validate, write checkpoints, roll back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.config.load import dump_config
from engine.config.tree import Config
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.outputs.preview_writer import PreviewWriter
from engine.protocol.events import (
    Activity,
    AlertRaised,
    CheckpointDamaged,
    CheckpointFailed,
    CheckpointSaved,
    RolledBack,
    ValidationCompleted,
)
from engine.protocol.wire import state_to_text
from engine.runtime.recorder import Ledger
from engine.supervision.run_memory import Books
from engine.training.checkpoint.content import load_resumable
from engine.training.checkpoint.file import (
    CheckpointDamagedError,
    CheckpointWriter,
    Snapshot,
    Written,
    checkpoint_name,
    list_checkpoints,
    set_aside,
)
from engine.training.evaluate import Validation, ValidationPlan, evaluate, preview_grid
from engine.training.train_state import Trainer, amp_dtype


class Actions:
    """Carries out what takes longer than a step. `should_stop` tells a validation to give way to the end of the run."""

    def __init__(self, run_dir: Path, config: Config, trainer: Trainer, ledger: Ledger):
        self.config = config
        self.trainer = trainer
        self.ledger = ledger
        self.directory = run_dir / CHECKPOINTS
        self.should_stop: Callable[[], bool] = lambda: False
        self.validation_due = False
        self.books = Books(config)
        self._is_doubted = False
        self._previews = PreviewWriter(run_dir)
        self._writer = CheckpointWriter(
            self.directory, keep_last=config.checkpoint.keep_last, before_rename=ledger.journal.flush
        )

    # --- validation ---------------------------------------------------------------------

    def validate(self) -> ValidationCompleted | None:
        """Measure the validation split now; None where the run was told to stop on the way. Raises DataGoneError."""
        before = self.ledger.state.activity
        self.ledger.turn_to(Activity.VALIDATING)
        try:
            done = evaluate(self.trainer.model, self.trainer.validation, self._validation_plan(), self._should_abort)
        finally:
            self.ledger.turn_to(before)
        if done is not None:
            self._record(done)
        return None if done is None else done.summary

    def _should_abort(self) -> bool:
        self.report_stuck_readers()
        return self.should_stop()

    def report_stuck_readers(self) -> None:
        """Raise an alert for each data worker that was taken for stuck."""
        for stream in (self.trainer.stream, self.trainer.validation):
            for complaint in stream.take_complaints():
                self.ledger.note(
                    AlertRaised("data worker", f"{complaint}: it is replaced", "look at the disk that holds the data")
                )

    def _validation_plan(self) -> ValidationPlan:
        state, settings = self.ledger.state, self.config.validation
        return ValidationPlan(
            active=state.refinements,
            weights=state.loss_weights,
            class_weights=self.config.loss.class_weights,
            batch_size=settings.batch_size,
            boundary_tolerance=settings.boundary_tolerance,
            num_previews=settings.num_previews,
            amp=amp_dtype(self.config),
        )

    def _record(self, done: Validation) -> None:
        summary = done.summary
        metrics = {
            "val/loss": summary.loss,
            **{f"val/loss/{term}": value for term, value in done.terms.items()},
            "val/miou": summary.miou,
            "val/iou_background": summary.iou_background,
            "val/iou_target": summary.iou_target,
            "val/iou_other": summary.iou_other,
            "val/boundary_f": summary.boundary_f,
        }
        # A class that occurs nowhere has no IoU: its point is absent, not a number that went wrong.
        absent = {name for name, value in metrics.items() if name.startswith("val/iou_") and math.isnan(value)}
        held = {name: value for name, value in metrics.items() if name not in absent}
        self.ledger.record_validation(self.trainer.progress, tuple(held), tuple(held.values()))
        doubt = done.doubt(self.ledger.state.step)
        if doubt is not None and not self._is_doubted:
            self.ledger.note(doubt)
        self._is_doubted = doubt is not None
        if done.previews:
            self.ledger.record_preview("validation", preview_grid(done.previews))
            self._previews.submit(self.ledger.state.step, done.previews)

    # --- checkpoints --------------------------------------------------------------------

    def checkpoint(self, kind: str, *, best: bool = False) -> None:
        """Copy the run's state and let the writer thread put it on disk."""
        self._writer.submit(self._snapshot(kind, best=best))

    def checkpoint_now(self, kind: str) -> CheckpointSaved | CheckpointFailed:
        """Write a checkpoint and wait for it."""
        self.ledger.observe(doing="writing a checkpoint")
        self.wait_for_checkpoints()
        self.checkpoint(kind)
        *_, last = self._writer.wait()
        self.ledger.observe(doing="")
        return self._outcome(last)

    def _snapshot(self, kind: str, *, best: bool) -> Snapshot:
        state = self.ledger.state
        good = self._is_good(state.step)
        payload: dict[str, Any] = {
            "step": state.step,
            "state": state_to_text(state),
            "config": dump_config(self.config),
            "validation_due": self.validation_due,
            "books": self.books.to_text(),
            "good": good,
            **self.trainer.snapshot(),
        }
        return Snapshot(
            step=state.step,
            kind=kind,
            payload=payload,
            loss=float("nan") if state.loss is None else state.loss,
            miou=state.val_miou,
            good=good,
            best=best,
        )

    def _is_good(self, step: int) -> bool:
        """A clean window of steps lies behind, and every weight and moment is finite."""
        return self.books.clean_steps >= min(step, self.config.gate.window_steps) and self.trainer.is_sound()

    def note_written(self) -> None:
        """Journal the checkpoints that the writer thread has finished."""
        for written in self._writer.collect():
            self.ledger.note(self._outcome(written))

    def wait_for_checkpoints(self) -> None:
        """Wait for the writer thread and journal what it finished."""
        for written in self._writer.wait():
            self.ledger.note(self._outcome(written))

    def _outcome(self, written: Written) -> CheckpointSaved | CheckpointFailed:
        if written.error:
            return CheckpointFailed(written.name, written.error)
        self.ledger.observe(checkpoints=tuple(path.name for path in list_checkpoints(self.directory)))
        snapshot = written.snapshot
        return CheckpointSaved(written.name, snapshot.kind, snapshot.loss, snapshot.miou, snapshot.good)

    def has_checkpoint_of(self, step: int) -> bool:
        """Whether the state after `step` steps is on disk."""
        return (self.directory / checkpoint_name(step)).exists()

    # --- rollback -----------------------------------------------------------------------

    def rollback_to_good(self, name: str) -> RolledBack:
        """As `rollback`; where `name` is damaged, to the newest good checkpoint before it.

        Raises CheckpointDamagedError where none is left; nothing has changed then.
        """
        while True:
            try:
                return self.rollback(name)
            except CheckpointDamagedError:
                name = self._good_before(name)
                if not name:
                    raise

    def _good_before(self, name: str) -> str:
        """The newest good checkpoint older than `name`, '' where there is none; what cannot be read is not good."""
        for path in reversed(list_checkpoints(self.directory)):
            with suppress(CheckpointDamagedError):
                if path.name < name and load_resumable(path, self.config)["good"]:
                    return path.name
        return ""

    def rollback(self, name: str) -> RolledBack:
        """Become checkpoint `name` again, keeping what was steered since: learning rate, clip, weights, refinements.

        Raises CheckpointDamagedError; nothing has changed then.
        """
        self.wait_for_checkpoints()
        try:
            payload = load_resumable(self.directory / name, self.config)
        except CheckpointDamagedError as error:
            self.ledger.note(CheckpointDamaged(name, str(error)))
            raise
        state, step = self.ledger.state, int(payload["step"])
        self.trainer.restore(payload, state)
        set_aside(self.directory, after_step=step)
        self.ledger.open_branch(step)
        self.validation_due = bool(payload["validation_due"])
        self.books.turn_back(payload["books"])
        self._previews.forget_after(step)
        self.ledger.observe(
            step=step,
            epoch=self.trainer.epoch,
            enabled_at={n: min(at, step) for n, at in state.enabled_at.items()},
            phase_started_at=min(state.phase_started_at, step),
        )
        self._take_stock(payload)
        return RolledBack(name, before=state.step, after=step)

    def take_up(self, payload: Mapping[str, Any]) -> None:
        """Go on where a checkpoint left off: with the validation it still owed and the books that were kept."""
        self.validation_due = bool(payload["validation_due"])
        self.books.open_again(payload["books"])
        self._previews.forget_after(int(payload["step"]))
        self._take_stock(payload)

    def _take_stock(self, payload: Mapping[str, Any]) -> None:
        """Note what can be gone back to from `payload`: what it says of that itself was true when it was written."""
        name = checkpoint_name(int(payload["step"]))
        self.ledger.observe(
            checkpoints=tuple(path.name for path in list_checkpoints(self.directory)),
            good_checkpoint=name if payload["good"] else self._good_before(name),
        )

    def close(self) -> None:
        """Finish writing checkpoints and pictures."""
        self._previews.close()
        for written in self._writer.close():
            self.ledger.note(self._outcome(written))

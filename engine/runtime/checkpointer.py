"""Write checkpoints between steps, and roll back to one."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.config.files.yaml_text import dump_config
from engine.config.tree import RunConfig
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol.codec import from_text, to_text
from engine.protocol.events import CheckpointDamaged, CheckpointFailed, CheckpointSaved, RolledBack
from engine.protocol.wire import state_to_text
from engine.runtime.outages.inventory import Inventory
from engine.runtime.recorder import RunRecorder
from engine.runtime.validator import Validates
from engine.supervision.run_memory import RunMemory
from engine.training.checkpoint.file import CheckpointDamagedError, Snapshot, checkpoint_name, list_checkpoints
from engine.training.checkpoint.live_state import LiveState
from engine.training.checkpoint.retention import set_aside
from engine.training.checkpoint.writer import CheckpointWriter, Written


class NotSetAsideError(RuntimeError):
    """Raised if a rollback cannot move later checkpoints out of the way of a resume, as on a full disk."""


class Checkpointer:
    """Write the checkpoints of one run, and roll back to one of them.

    `slowest_write` is the longest time of a write; `spent` is the time for which training has waited, in seconds.
    """

    def __init__(
        self,
        run_dir: Path,
        config: RunConfig,
        train_state: LiveState,
        recorder: RunRecorder,
        memory: RunMemory,
        validator: Validates,
    ):
        self.config = config
        self._config_text = dump_config(config)
        self.train_state = train_state
        self.recorder = recorder
        self.memory = memory
        self.directory = run_dir / CHECKPOINTS
        self.inventory = Inventory(config.checkpoint.keep_last)
        self.validator = validator
        self.slowest_write = self.spent = 0.0
        self._writer = CheckpointWriter(
            self.directory, keep_last=config.checkpoint.keep_last, before_rename=recorder.journal.flush
        )

    # --- checkpoints --------------------------------------------------------------------

    def checkpoint(self, kind: str, *, best: bool = False) -> None:
        """Copy the run's state and queue it for the writer thread."""
        began = time.perf_counter()
        self._writer.submit(self._snapshot(kind, best=best))
        self.spent += time.perf_counter() - began

    def checkpoint_now(self, kind: str) -> CheckpointSaved | CheckpointFailed:
        """Write a checkpoint and wait for it."""
        self.recorder.update(doing="writing a checkpoint")
        self.wait_for_checkpoints()
        self.checkpoint(kind)
        began = time.perf_counter()
        *_, last = self._writer.wait()
        self.spent += time.perf_counter() - began
        self.recorder.update(doing="")
        return self._outcome(last)

    def keep_best(self, *, former: float | None) -> None:
        """Queue a checkpoint if the newest validation has a better score than `former`, the best one before it."""
        if self.recorder.state.best_score != former:
            self.checkpoint("best", best=True)

    def _snapshot(self, kind: str, *, best: bool) -> Snapshot:
        state = self.recorder.state
        good = self.is_good(state.step)
        payload: dict[str, Any] = {
            "step": state.step,
            "state": state_to_text(state),
            "config": self._config_text,
            "validation_due": self.memory.validation_due,
            "books": to_text(self.memory.state_dict()),
            "good": good,
            **self.train_state.snapshot(),
        }
        return Snapshot(
            step=state.step,
            kind=kind,
            payload=payload,
            loss=float("nan") if state.loss is None else state.loss,
            score=state.score,
            good=good,
            best=best,
        )

    def is_good(self, step: int) -> bool:
        """Return whether the last window of steps was clean and every weight and moment is finite."""
        return self.memory.clean_steps >= min(step, self.config.gate.window_steps) and self.train_state.is_finite()

    def note_written(self) -> None:
        """Journal the checkpoints that the writer thread has finished."""
        for written in self._writer.collect():
            self.recorder.record_event(self._outcome(written))

    def wait_for_checkpoints(self) -> None:
        """Wait for the writer thread and journal what it finished."""
        for written in self._writer.wait():
            self.recorder.record_event(self._outcome(written))

    def _outcome(self, written: Written) -> CheckpointSaved | CheckpointFailed:
        self.inventory.note(written)
        self.slowest_write = max(self.slowest_write, written.seconds)
        if written.error:
            return CheckpointFailed(written.name, written.error)
        known = {*self.recorder.state.checkpoints, written.name}
        self.recorder.update(checkpoints=self._names(otherwise=sorted(known)))
        snapshot = written.snapshot
        return CheckpointSaved(written.name, snapshot.kind, snapshot.loss, snapshot.score, snapshot.good)

    def has_checkpoint_of(self, step: int) -> bool:
        """Return whether the state after `step` steps is on disk."""
        return os.path.exists(self.directory / checkpoint_name(step))  # false if the disk does not answer

    def _names(self, *, otherwise: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the step checkpoints, oldest first; `otherwise` if the disk does not answer.

        The watch over the run's directory raises an alert then.
        """
        try:
            return tuple(path.name for path in list_checkpoints(self.directory))
        except OSError as error:
            logging.getLogger(__name__).warning("the checkpoints cannot be listed: %s", error)
            return tuple(otherwise)

    # --- rollback -----------------------------------------------------------------------

    def rollback_to_good(self, name: str) -> RolledBack:
        """Roll back to `name`; if it is damaged, to the newest good checkpoint before it.

        Raises CheckpointDamagedError if there is none, and NotSetAsideError; the training has not changed then.
        """
        try:
            return self.rollback(name)
        except CheckpointDamagedError:
            earlier = self._good_before(name)
            if not earlier:
                raise
        return self.rollback_to_good(earlier)

    def _good_before(self, name: str) -> str:
        """Return the newest good checkpoint before `name`, or an empty string. Unreadable ones are not good."""
        earlier = [known for known in self._names(otherwise=()) if known < name]
        return next(filter(self._holds_good, reversed(earlier)), "")

    def _holds_good(self, name: str) -> bool:
        try:
            return self.train_state.load(self.directory / name)["good"]
        except CheckpointDamagedError:
            return False

    def rollback(self, name: str) -> RolledBack:
        """Restore checkpoint `name`, but keep interventions: learning rate, clip, weights, refinements.

        Raises CheckpointDamagedError and NotSetAsideError; the training has not changed then.
        """
        self.wait_for_checkpoints()
        try:
            payload = self.train_state.load(self.directory / name)
        except CheckpointDamagedError as error:
            self.recorder.record_event(CheckpointDamaged(name, str(error)))
            raise
        state, step = self.recorder.state, int(payload["step"])
        try:
            set_aside(self.directory, after_step=step)
        except OSError as error:
            raise NotSetAsideError(
                f"the checkpoints after step {step} cannot be set aside: {error.strerror or error}"
            ) from error
        self.train_state.restore(payload, state)
        self.recorder.journal.open_branch(step)
        self.memory.validation_due = bool(payload["validation_due"])
        self.memory.rewind(from_text(payload["books"]))
        self.validator.forget_after(step)
        self.recorder.update(step=step, epoch=self.train_state.epoch)
        self._take_stock(payload)
        return RolledBack(name, before=state.step, after=step)

    def settle_rollback(self) -> None:
        """Check the gate again after a recorded rollback if it was checked, and write a checkpoint of its state.

        A training of other code has no gate.
        """
        if self.recorder.state.gate:
            self.recorder.update(gate=self.memory.gate_checks(self.recorder.state, self.config))
        self.checkpoint("rollback")

    def take_up(self, payload: Mapping[str, Any]) -> None:
        """Resume from a checkpoint, with its pending validation and the saved memory."""
        self.memory.validation_due = bool(payload["validation_due"])
        self.memory.load_state_dict(from_text(payload["books"]))
        self.validator.forget_after(int(payload["step"]))
        self._take_stock(payload)

    def _take_stock(self, payload: Mapping[str, Any]) -> None:
        """Note the available checkpoints in `payload`, which were valid when it was written."""
        name = checkpoint_name(int(payload["step"]))
        known = [known for known in self.recorder.state.checkpoints if known <= name]
        self.recorder.update(
            checkpoints=self._names(otherwise=known),
            good_checkpoint=name if payload["good"] else self._good_before(name),
        )

    def close(self) -> None:
        """Finish writing checkpoints and pictures."""
        self.validator.close()
        for written in self._writer.close():
            self.recorder.record_event(self._outcome(written))

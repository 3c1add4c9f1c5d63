"""How a run begins: its directory locked, its journal open and saying so, all before torch is imported."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from logging.handlers import WatchedFileHandler
from pathlib import Path
from types import MappingProxyType
from typing import Final

from engine.config.load import dump_config
from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.journal.disk.run_dir import (
    CONFIG_FILE,
    CONSOLE_LOG,
    TENSORBOARD,
    claim_run,
    has_journal,
    hold_run,
    start_over,
)
from engine.journal.reader import JournalReader
from engine.journal.task_meta import TASK
from engine.journal.writer import JournalWriter
from engine.outputs.tensorboard import TensorboardWriter
from engine.protocol.engine_events import Departure
from engine.protocol.script import ScriptedCommand
from engine.protocol.state import Limits, RunState
from engine.protocol.wire import spec_to_json
from engine.runtime.recorder import RunRecorder
from engine.runtime.reproduce.recorded_action import RecordedAction
from engine.task import load_task

IMPORTING: Final = "importing torch"
INIT_FROM: Final = "init_from"
"""The journal's key for the checkpoint whose weights the run began with."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What to train: a directory that exists, a resolved configuration, and where the weights come from.

    `unusual` says what of the configuration lies far from that of its named config. With `past` a recorded run is
    driven again: exactly this is done, and nothing that anybody decides now.
    """

    directory: Path
    config: RunConfig
    device: str = "auto"
    resume: bool = False
    init_from: str = ""
    script: tuple[ScriptedCommand, ...] = ()
    past: tuple[RecordedAction, ...] | None = None
    unusual: tuple[Departure, ...] = ()


def initial_state(run: str, config: RunConfig) -> RunState:
    """The state of a run that has not taken a step."""
    training, refinements = config.training, config.active_components()
    spec = load_task(config.task).spec
    return RunState(
        run=run,
        refinements=refinements,
        phase=spec.phase_of(refinements),
        spec=spec,
        loss_weights=MappingProxyType(dict(config.loss.weights)),
        gradient_clip=training.gradient_clip,
        accumulation=training.accumulation,
        batch_size=training.batch_size,
        optimizer=training.optimizer,
        guardian=config.guard.recovery.enabled,
        autopilot=config.autopilot.enabled,
        limits=limits_of(config),
    )


def limits_of(config: RunConfig) -> Limits:
    """The bounds on interventions that a configuration sets."""
    bounds = config.limits
    return Limits(
        lr_min=bounds.lr_min,
        lr_max=bounds.lr_max,
        max_lr_factor=bounds.max_lr_factor,
        lr_configured=config.training.learning_rate,
    )


@contextmanager
def open_recorder(request: RunRequest) -> Generator[RunRecorder]:
    """The run's recorder, closed and unlocked at the end.

    A new run is begun immediately: its journal says from the first moment what is being done. Of a resumed one no byte
    changes before `RunRecorder.begin`, however it ends before that.
    Raises UserError where the run is in use or its journal
    cannot be written.
    """
    directory = request.directory
    with hold_run(directory) as lock, logging_to(directory / CONSOLE_LOG) as log:
        journal = JournalWriter(directory)

        def begin() -> TensorboardWriter | None:
            claim_run(directory, lock)
            if not request.resume:
                start_over(directory)
            journal.start()
            save_config(directory, request.config)
            log.begin()
            return _tensorboard(request)

        if request.resume and has_journal(directory):
            _check_journal(directory)
        recorder = RunRecorder(initial_state(directory.name, request.config), journal, begin=begin)
        try:
            if not request.resume:
                recorder.begin()
                journal.set_meta(INIT_FROM, request.init_from)
                journal.set_meta(TASK, spec_to_json(recorder.state.spec))
                recorder.update(doing=IMPORTING)
            yield recorder
        finally:
            recorder.close()


def _check_journal(directory: Path) -> None:
    """Raise UserError where the journal of a run to be resumed cannot be read."""
    with closing(JournalReader(directory, at_rest=True)) as reader:
        reader.state()


def _tensorboard(request: RunRequest) -> TensorboardWriter | None:
    settings = request.config.tensorboard
    if not settings.enabled:
        return None
    return TensorboardWriter(request.directory / TENSORBOARD, every_steps=settings.every_steps)


def save_config(directory: Path, config: RunConfig) -> None:
    """Write the resolved configuration into a run's directory, whole or not at all. Raises UserError."""
    partial = directory / f"{CONFIG_FILE}.partial"
    try:
        partial.unlink(missing_ok=True)
        with partial.open("x", encoding="utf-8") as file:
            file.write(dump_config(config))
        partial.replace(directory / CONFIG_FILE)
    except OSError as error:
        raise UserError(f"cannot write {directory / CONFIG_FILE}: {error.strerror}") from error


class _LogFile(WatchedFileHandler):
    """A log on a disk that may be full: a record that it does not take is dropped, as a traceback of the logging
    itself would only spoil the screen. That the disk is full is said by the journal's alerts. One that was
    deleted is begun again.

    Records before `begin` wait in memory.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, delay=True)
        self._waiting: list[logging.LogRecord] | None = []

    def begin(self) -> None:
        """Write what waits, and each record from now on."""
        waiting, self._waiting = self._waiting or (), None
        for record in waiting:
            self.emit(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or keep it for later."""
        if self._waiting is not None:
            self._waiting.append(record)
            return
        with suppress(OSError):  # the file cannot be opened: no room for another one, no directory
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the record."""

    def close(self) -> None:
        """Close the file; what it still held back is dropped where there is no room, and where no fault is in it."""
        if any(record.levelno >= logging.ERROR for record in self._waiting or ()):
            self.begin()
        with suppress(OSError):
            super().close()


@contextmanager
def logging_to(path: Path) -> Generator[_LogFile]:
    """Warnings and log records of every library go to console.log while the engine runs, from `begin` on."""
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield handler
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        handler.close()

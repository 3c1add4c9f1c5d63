"""How a run begins: its directory locked, its journal open and saying so, all before torch is imported."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from engine.config import Config
from engine.config_files import dump_config
from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter
from engine.ledger import Ledger
from engine.past import Redone
from engine.protocol.events import Activity
from engine.protocol.phases import phase_of
from engine.protocol.state import Limits, RunState
from engine.runs import CONFIG_FILE, CONSOLE_LOG, TENSORBOARD, lock_run
from engine.script import ScriptedCommand
from engine.tensorboard import TensorboardWriter

IMPORTING: Final = "importing torch"
INIT_FROM: Final = "init_from"
"""The journal's key for the checkpoint whose weights the run began with."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What to train: a directory that exists, a resolved configuration, and where the weights come from.

    With `past` a recorded run is driven again: exactly this is done, and nothing that anybody decides now.
    """

    directory: Path
    config: Config
    device: str = "auto"
    resume: bool = False
    init_from: str = ""
    script: tuple[ScriptedCommand, ...] = ()
    past: tuple[Redone, ...] | None = None


def initial_state(run: str, config: Config) -> RunState:
    """The state of a run that has not taken a step."""
    training, refinements = config.training, config.model.refinements.active()
    return RunState(
        run=run,
        refinements=refinements,
        phase=phase_of(refinements),
        loss_weights=MappingProxyType(dict(config.loss.weights)),
        gradient_clip=training.gradient_clip,
        accumulation=training.accumulation,
        batch_size=training.batch_size,
        optimizer=training.optimizer,
        guardian=config.guard.recovery.enabled,
        autopilot=config.autopilot.enabled,
        limits=limits_of(config),
    )


def limits_of(config: Config) -> Limits:
    """The bounds on interventions that a configuration sets."""
    bounds = config.limits
    return Limits(
        lr_min=bounds.lr_min,
        lr_max=bounds.lr_max,
        max_lr_factor=bounds.max_lr_factor,
        lr_configured=config.training.learning_rate,
    )


@contextmanager
def open_ledger(request: RunRequest) -> Generator[Ledger]:
    """The run's ledger, whose state says from the first moment what is being done; closed and unlocked at the end.

    Raises UserError where the run is in use or its journal cannot be written. A UserError from the block leaves a
    resumed run in the state that it had before, unless something was recorded on the way.
    """
    with lock_run(request.directory), logging_to(request.directory / CONSOLE_LOG):
        former = _former_state(request.directory) if request.resume else None
        journal = JournalWriter(request.directory)
        journal.start()
        if not request.resume:  # whoever is cut off from here on can be resumed
            (request.directory / CONFIG_FILE).write_text(dump_config(request.config))
            journal.set_meta(INIT_FROM, request.init_from)
        settings = request.config.tensorboard
        tensorboard = (
            TensorboardWriter(request.directory / TENSORBOARD, every_steps=settings.every_steps)
            if settings.enabled
            else None
        )
        state = initial_state(request.directory.name, request.config)
        ledger = Ledger(state, journal, tensorboard)
        # What a resumed run was is shown until its checkpoint says what it is.
        journal.record_state(replace(former or state, activity=Activity.STARTING, doing=IMPORTING))
        try:
            yield ledger
        except UserError:
            if former is not None and ledger.state is state:
                journal.record_state(former)
            raise
        finally:
            ledger.close()


def _former_state(directory: Path) -> RunState | None:
    with closing(JournalReader(directory)) as reader:
        return reader.state()


class _LogFile(logging.FileHandler):
    """A log on a disk that may be full: a record that it does not take is dropped, as a traceback of the logging
    itself would only spoil the screen. That the disk is full is said by the journal's alerts.
    """

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the record."""

    def close(self) -> None:
        """Close the file; what it still held back is dropped too where there is no room."""
        with suppress(OSError):
            super().close()


@contextmanager
def logging_to(path: Path) -> Generator[None]:
    """Warnings and log records of every library go to console.log while the engine runs."""
    handler = _LogFile(path, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        handler.close()

"""Start a run before torch is imported: lock its directory and open its journal."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from engine.config.files.yaml_text import dump_config
from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.journal.disk.new_run import start_over
from engine.journal.disk.run_dir import CONFIG_FILE, CONSOLE_LOG, TENSORBOARD, claim_run, has_journal, hold_run
from engine.journal.reader import JournalReader
from engine.journal.task_meta import HAS_PREVIEWS, PARENT, TASK, Parent
from engine.journal.writer import JournalWriter
from engine.outputs.free_cores import choose_threads
from engine.outputs.tensorboard.writer import TensorboardWriter
from engine.protocol.codec import to_json
from engine.protocol.engine_events import Departure
from engine.protocol.record import record
from engine.protocol.state import Limits, RunState
from engine.protocol.task_spec import TaskSpec
from engine.protocol.wire import spec_to_json
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.host.launch import Launch
from engine.runtime.recorder import RunRecorder
from engine.runtime.reproduce.recorded_action import RecordedAction
from engine.runtime.start.console_log import logging_to
from engine.task import HasPreviews, load_task

IMPORTING: Final = "importing torch"
INIT_FROM: Final = "init_from"
"""The journal's key for the checkpoint of the run's initial weights."""


@record
class RunRequest:
    """A run to train: an existing directory, a resolved configuration, and the source of the weights.

    `unusual` are the settings far from those of the named configuration. With `past`, a recorded run is reproduced:
    exactly these actions are applied, and current commands are not. A branch of a run begins with its `parent`'s state.
    `notes` are journalled at the start. `launch` is how `torchrun` started this process, `None` if it did not.
    """

    directory: Path
    config: RunConfig
    device: str = "auto"
    resume: bool = False
    init_from: str = ""
    script: tuple[ScriptedCommand, ...] = ()
    past: tuple[RecordedAction, ...] | None = None
    unusual: tuple[Departure, ...] = ()
    launch: Launch | None = None
    parent: Parent | None = None
    notes: tuple[str, ...] = ()


def with_threads(request: RunRequest) -> RunRequest:
    """Return the request with a number in place of `training.threads: auto`, and a note of the choice.

    The number is part of what makes a run exact: it is in the recorded configuration, and a resume uses it.
    """
    if request.config.training.threads != "auto":
        return request
    chosen = choose_threads()
    training = request.config.training.model_copy(update={"threads": chosen.count})
    note = f"training.threads auto: {chosen.count}, for {chosen.why}; a resume keeps this number"
    config = request.config.model_copy(update={"training": training})
    return replace(request, config=config, notes=(*request.notes, note))


def initial_state(run: str, config: RunConfig) -> RunState:
    """Return the state of a run before its first step."""
    training, refinements = config.training, config.active_components()
    spec = load_task(config.task).spec.scored_by(config.validation.score)
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
    """Return the limits on interventions in a configuration."""
    bounds = config.limits
    return Limits(
        lr_min=bounds.lr_min,
        lr_max=bounds.lr_max,
        max_lr_factor=bounds.max_lr_factor,
        lr_configured=config.training.learning_rate,
    )


@contextmanager
def open_recorder(request: RunRequest) -> Generator[RunRecorder]:
    """Open the run's recorder; close and unlock it after the block.

    The journal of a new run is written immediately. A resumed run is not changed before `RunRecorder.begin`, even if it
    ends earlier. Raises UserError if the run is in use or its journal cannot be written.
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
                _describe(journal, request, recorder.state.spec)
                recorder.update(doing=IMPORTING)
            yield recorder
        finally:
            recorder.close()


def _describe(journal: JournalWriter, request: RunRequest, spec: TaskSpec) -> None:
    """Write into the journal of a new run what its readers need to know of it."""
    journal.set_meta(INIT_FROM, request.init_from)
    journal.set_meta(HAS_PREVIEWS, isinstance(load_task(request.config.task), HasPreviews))
    journal.set_meta(TASK, spec_to_json(spec))
    if request.parent is not None:
        journal.set_meta(PARENT, to_json(request.parent))


def _check_journal(directory: Path) -> None:
    """Raise UserError if the journal of a resumed run is unreadable."""
    with closing(JournalReader(directory, at_rest=True)) as reader:
        reader.state()


def _tensorboard(request: RunRequest) -> TensorboardWriter | None:
    settings = request.config.tensorboard
    if not settings.enabled:
        return None
    return TensorboardWriter(request.directory / TENSORBOARD, every_steps=settings.every_steps)


def save_config(directory: Path, config: RunConfig) -> None:
    """Write the resolved configuration into a run's directory, completely or not at all.

    Raises UserError if writing fails.
    """
    partial = directory / f"{CONFIG_FILE}.partial"
    try:
        partial.unlink(missing_ok=True)
        with partial.open("x", encoding="utf-8") as file:
            file.write(dump_config(config))
        partial.replace(directory / CONFIG_FILE)
    except OSError as error:
        raise UserError(f"cannot write {directory / CONFIG_FILE}: {error.strerror}") from error

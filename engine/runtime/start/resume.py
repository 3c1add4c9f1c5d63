"""Read the basis of a resumed run: its checkpoint, its journal, and changed options."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.config.tree import RunConfig
from engine.config.unusual import shown
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS, has_journal
from engine.journal.reader import Entry, JournalReader
from engine.journal.task_meta import PARENT, TASK, Parent, parent_of, spec_of
from engine.protocol import events as e
from engine.protocol.codec import Json
from engine.protocol.commands import RULE, SCRIPT
from engine.protocol.engine_events import Departure
from engine.protocol.events import Activity
from engine.protocol.record import record
from engine.protocol.state import RunState, with_decided, with_measured
from engine.protocol.wire import state_from_text
from engine.runtime.reproduce.recorded_action import RecordedAction
from engine.runtime.start.bootstrap import INIT_FROM, RunRequest, limits_of
from engine.runtime.start.changed_config import has_other_score, revise_state
from engine.training.checkpoint.content import CheckpointMisfitError, load_resumable, newest_resumable
from engine.training.checkpoint.file import CheckpointDamagedError, checkpoint_name, list_checkpoints

_AGAIN = "done again after the resume"


@record
class Start:
    """The checkpoint from which a run resumes, and the damaged ones that were skipped.

    With `parent` it is the checkpoint of another run, of which this one is a branch.
    """

    payload: dict[str, Any]
    damaged: tuple[e.CheckpointDamaged, ...] = ()
    parent: Parent | None = None


def find_start(request: RunRequest) -> Start | None:
    """Find the checkpoint to resume. Return `None` for a new run, and for one without any checkpoint.

    A branch without a checkpoint of its own starts from its parent's. The run is not changed. Raises UserError if there
    is nothing left to do.
    """
    directory = request.directory / CHECKPOINTS
    if not request.resume or (not _has_checkpoints(directory) and never_saved(request.directory)):
        parent = request.parent or first_parent(request)
        return None if parent is None else _start_of_branch(request, parent)
    damaged: list[e.CheckpointDamaged] = []
    payload = newest_resumable(
        directory, request.config, lambda name, error: damaged.append(e.CheckpointDamaged(name, error))
    )
    if done := _all_done(payload, request.config):
        raise UserError(f"the run {request.directory.name!r} has done its {done[0]}: continue with a larger {done[1]}")
    return Start(payload, tuple(damaged))


def _has_checkpoints(directory: Path) -> bool:
    """Return whether there is a step checkpoint in `directory`. Raises UserError if the disk does not answer."""
    try:
        return bool(list_checkpoints(directory))
    except OSError as error:
        raise UserError(
            f"the checkpoints in {directory} cannot be listed: {error.strerror or error}; --resume when it can"
        ) from error


def _all_done(payload: Mapping[str, Any], config: RunConfig) -> tuple[str, str, int] | None:
    """Return how far a run is, the option that makes it longer, and its value; `None` if steps are left to do."""
    training, (epoch, _) = config.training, payload["position"]
    out_of_steps = 0 < training.max_steps <= payload["step"]
    if payload["validation_due"] or not (epoch >= training.epochs or out_of_steps):
        return None
    if out_of_steps:
        return f"{payload['step']} steps", "--max-steps", training.max_steps
    return f"{epoch} epochs", "--epochs", training.epochs


def _start_of_branch(request: RunRequest, parent: Parent) -> Start:
    """Read the parent's checkpoint. Raises UserError if it cannot be used, or there is nothing left to do."""
    path = parent.path(request.directory) / CHECKPOINTS / parent.checkpoint
    try:
        payload = load_resumable(path, request.config)
    except CheckpointMisfitError as error:
        raise UserError(f"{error}; branch with the model keys that {parent.run!r} was trained with") from error
    except CheckpointDamagedError as error:
        raise UserError(f"{error}; branch {parent.run!r} from another checkpoint with --from") from error
    if payload["step"] != parent.step:
        raise UserError(f"{path.name} of {parent.run!r} is of step {payload['step']}, not {parent.step}")
    if done := _all_done(payload, request.config):
        earlier = f"branch from an earlier step with --from, or give a larger {done[1]}"
        here = f"at step {payload['step']} the run {parent.run!r} has done {done[0]}"
        raise UserError(f"{here}, and a branch with {done[1]} {done[2]} ends there: {earlier}")
    return Start(payload, parent=parent)


def first_parent(request: RunRequest) -> Parent | None:
    """Return the parent of a branch that restarts before its first checkpoint; `None` for any other run."""
    return parent_of(_meta(request.directory, PARENT)) if request.resume else None


def _meta(journal: Path, key: str) -> Json:
    """Return what the journal of a run at rest holds under `key`."""
    with closing(JournalReader(journal, at_rest=True)) as reader:
        return reader.meta(key)


def resumed_state(
    payload: Mapping[str, Any], config: RunConfig, fresh: RunState, *, is_branch: bool = False
) -> RunState:
    """Return the state to resume: the checkpoint's, with the current configuration.

    Run and spec are those of `fresh`, the state of a new run. A branch has no best score yet: its parent has that file.
    """
    then = replace(state_from_text(payload["state"], fresh.spec), run=fresh.run)
    if has_other_score(payload["config"], config):
        then = with_decided(then, score=None)
    if then.score is None or is_branch:
        then = with_decided(then, best_score=None, best_step=None)
    return with_decided(
        with_measured(revise_state(then, was=payload["config"], now=config), steps_until_pause=None),
        activity=Activity.STARTING,
        last_checkpoint=checkpoint_name(int(payload["step"])),
        limits=limits_of(config),
    )


def redescribed(journal: Path, state: RunState) -> tuple[e.TaskDescribed, ...]:
    """Return an event with the spec of `state` unless the journal has it: an earlier one may have fewer metrics."""
    stored = _meta(journal, TASK) if has_journal(journal) else None
    return () if spec_of(stored) == state.spec else (e.TaskDescribed(state.spec),)


def redo_list(journal: Path, *, from_step: int) -> list[RecordedAction]:
    """Return the interventions acknowledged at `from_step` or later, which a crash must not lose.

    A rollback keeps interventions. After it, they count as made at the step of the rollback's checkpoint. Alert rules
    act again by themselves, except for the command that was pending when the checkpoint was written.
    """
    lasting: list[RecordedAction] = []
    for entry in _entries(journal):
        if isinstance(entry.event, e.RolledBack):
            lasting = [replace(done, step=min(done.step, entry.event.after)) for done in lasting]
        elif isinstance(entry.event, e.LASTING_EVENTS):
            lasting.append(RecordedAction(entry.step, entry.actor, entry.event, _AGAIN))
    due = (x for x in lasting if x.step == from_step or (x.step > from_step and x.actor != RULE))
    return sorted(due, key=lambda done: done.step)


def still_unusual(journal: Path, config: RunConfig) -> tuple[Departure, ...]:
    """Return settings that were unusual at the last start or resume, and are unchanged since."""
    began = [entry.event for entry in _entries(journal) if isinstance(entry.event, e.RunStarted)]
    tree = config.model_dump(mode="json")
    return tuple(x for x in began[-1].unusual if shown(_value(tree, x.key)) == x.value) if began else ()


def _value(tree: Any, key: str) -> object:
    for part in key.split("."):
        tree = tree[part]
    return tree


def never_saved(journal: Path) -> bool:
    """Return whether the run was interrupted before its first checkpoint. It can then restart without loss."""
    with closing(JournalReader(journal, at_rest=True)) as reader:
        return not reader.events(kinds=("checkpoint_saved",))


def first_weights(request: RunRequest) -> str:
    """Return the checkpoint of the initial weights of a run that restarts; an empty string for none."""
    return str(_meta(request.directory, INIT_FROM) or "") if request.resume else ""


def last_reached(journal: Path) -> int:
    """Return the first step without processed script commands, as far as the journal shows."""
    entries = _entries(journal)
    return max((entry.step + 1 for entry in entries if entry.actor == SCRIPT), default=0)


def _entries(journal: Path) -> list[Entry]:
    with closing(JournalReader(journal)) as reader:
        return reader.events()

"""Open a run in four phases: load its data, build its parts, restore its checkpoint, announce it in the journal."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from engine.config.tree import RunConfig
from engine.errors import UserError, undone_by_error
from engine.journal.disk.run_dir import has_journal
from engine.journal.inbox import Inbox
from engine.journal.task_meta import Parent
from engine.outputs.inspection.preview_writer import PreviewWriter
from engine.protocol import events as e
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.commands.command_processor import CommandProcessor
from engine.runtime.commands.request_queue import RequestQueue
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.loop import Loop
from engine.runtime.monitoring.step_monitor import StepMonitor
from engine.runtime.monitoring.supervisor import Supervisor
from engine.runtime.ranks.leader import Leader, LeaderState
from engine.runtime.ranks.leader_loop import LeaderLoop
from engine.runtime.ranks.validation import SharedValidator
from engine.runtime.recorder import RunRecorder
from engine.runtime.reproduce.recorded_action import RecordedAction
from engine.runtime.reproduce.timeline import remember_conditions
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.start.build import Built, build, load_data, restore
from engine.runtime.start.changed_config import has_other_score
from engine.runtime.start.resume import Start, last_reached, redescribed, redo_list, resumed_state, still_unusual
from engine.runtime.start.same_data import remember_data
from engine.runtime.validator import Validator
from engine.supervision.baseline import Baseline
from engine.supervision.run_memory import RunMemory
from engine.task import HasBaseline, HasChance, Samples, Splits, Task, Tensors
from engine.training.data.spans import samples_at, stacked
from engine.training.device import describe
from engine.training.train_state import TrainState

_CHANCE_SAMPLES = 64


@dataclass(slots=True)
class OpenRun:
    """The parts of a run that is ready to train; `opened` closes all but the checkpointer."""

    train_state: TrainState
    checkpointer: Checkpointer
    loop: Loop
    opened: ExitStack


def open_run(
    request: RunRequest,
    start: Start | None,
    recorder: RunRecorder,
    interrupt: Interrupt,
    leader: Leader | None = None,
) -> OpenRun:
    """Open the run of `request`, from `start` unless it is `None`; with `leader`, together with other ranks.

    A resumed run is not changed until data, weights and options are known to fit. Before that, UserError and
    StoppedEarlyError may be raised.
    """
    if start and request.init_from:
        raise UserError("--init-from begins a new run; a resumed one has its own weights: leave one of the two out")
    if start:
        recorder.start_from(
            resumed_state(start.payload, request.config, recorder.state, is_branch=start.parent is not None)
        )
    loaded = load_data(request, recorder, interrupt)
    built = build(request, start, loaded, recorder, leader)
    interrupt.check()
    with undone_by_error(built.opened.close):
        said = restore(start, built, request, recorder)
        return _announce(built, start, (*said, *loaded.said, *built.said), request, recorder, interrupt)


def _announce(
    built: Built,
    start: Start | None,
    said: Sequence[e.Event],
    request: RunRequest,
    recorder: RunRecorder,
    interrupt: Interrupt,
) -> OpenRun:
    """Claim the run's directory, record how training starts, and connect the parts that train."""
    train_state, config = built.train_state, request.config
    _claim(request, said, recorder)
    remember_data(request, built.splits, said, recorder)
    baseline = _baseline(train_state.task, built.splits.train, config)
    recorder.journal.set_meta("chance_levels", {**baseline.chance})
    memory = RunMemory(config, recorder.state.spec, baseline)
    inbox = built.opened.enter_context(closing(Inbox(request.directory)))
    requests = RequestQueue(inbox, recorder, interrupt)
    previews = PreviewWriter(request.directory)
    if isinstance(train_state, LeaderState):
        validator = SharedValidator(config, train_state, recorder, memory, previews, requests.stop_is_waiting)
    else:
        validator = Validator(config, train_state, recorder, memory, previews, requests.stop_is_waiting)
    checkpointer = Checkpointer(request.directory, config, train_state, recorder, memory, validator)
    if start:
        checkpointer.take_up(start.payload)
    if start and has_other_score(start.payload["config"], config):
        memory.window.mious.clear()
    recorder.update(device=_described(train_state), total_steps=train_state.total_steps(recorder.state))
    commands = CommandProcessor(requests, recorder, train_state, checkpointer)
    commands.refuse_stale()
    _schedule(commands, request, recorder)
    remember_conditions(recorder, request, device=train_state.device.type, init_from=built.init_from)
    parent = None if start is None else start.parent
    recorder.record_event(_started(train_state, built.splits, recorder, request, parent))
    if start is None or parent is not None:
        checkpointer.checkpoint("start")
    recorder.update(doing="waiting for the first batch")
    supervisor = Supervisor(config, train_state, recorder, memory, commands)
    step_monitor = StepMonitor(config, train_state, recorder, memory, supervisor)
    if isinstance(train_state, LeaderState):
        loop = LeaderLoop(config, train_state, recorder, checkpointer, commands, step_monitor)
    else:
        loop = Loop(config, train_state, recorder, checkpointer, commands, step_monitor)
    return OpenRun(train_state, checkpointer, loop, built.opened)


def _claim(request: RunRequest, said: Sequence[e.Event], recorder: RunRecorder) -> None:
    """Claim the run's directory, and record what is said of it before the start."""
    is_lost = request.resume and not has_journal(request.directory)
    fresh = redescribed(request.directory, recorder.state) if request.resume else ()
    recorder.begin()
    if request.resume:
        recorder.journal.open_branch(recorder.state.step)
    if is_lost:
        recorder.record_event(_lost_journal(recorder.state.step))
    for event in (*fresh, *map(e.NoteAdded, request.notes), *said):
        recorder.record_event(event)


def _described(train_state: TrainState) -> str:
    """Return the display name of the device, and how many ranks have one."""
    return describe(train_state.device, train_state.group.world if isinstance(train_state, LeaderState) else 1)


def _lost_journal(step: int) -> e.AlertRaised:
    return e.AlertRaised(
        "journal",
        f"the journal of this run was missing: a new one begins at step {step}, and earlier records are lost",
        "keep run.sqlite with the run's directory",
    )


def _schedule(commands: CommandProcessor, request: RunRequest, recorder: RunRecorder) -> None:
    if request.past is not None:
        commands.drive(request.past)
        return
    redo: Sequence[RecordedAction] = ()
    reached = 0
    if request.resume:
        recorder.journal.flush()
        redo = redo_list(request.directory, from_step=recorder.state.step)
        reached = last_reached(request.directory)
    commands.schedule(request.script, redo, from_step=reached)


def _some_samples(samples: Samples) -> Tensors:
    """Return training samples from the whole split, from which chance levels are computed."""
    total = len(samples)
    count = min(_CHANCE_SAMPLES, total)
    return stacked(samples_at(samples, 0, (index * total // count for index in range(count))))


def _baseline(task: Task, samples: Samples, config: RunConfig) -> Baseline:
    """Return the cost of a network that has learned nothing, as far as the task knows it."""
    if not isinstance(task, HasChance | HasBaseline):
        return Baseline({}, {})
    some = _some_samples(samples)
    blind = task.blind(some, config) if isinstance(task, HasBaseline) else {}
    return Baseline(blind, task.chance(some, config) if isinstance(task, HasChance) else {})


def _started(
    train_state: TrainState, splits: Splits, recorder: RunRecorder, request: RunRequest, parent: Parent | None
) -> e.RunStarted:
    return e.RunStarted(
        device=recorder.state.device,
        num_parameters=sum(p.numel() for p in train_state.model.parameters()),
        num_train_samples=len(splits.train),
        num_val_samples=len(splits.val),
        total_steps=recorder.state.total_steps,
        resumed_from=_origin(recorder.state.step, parent, is_resumed=request.resume),
        learning_rate=request.config.training.learning_rate,
        unusual=still_unusual(request.directory, request.config) if request.resume else request.unusual,
    )


def _origin(step: int, parent: Parent | None, *, is_resumed: bool) -> str:
    """Return the step at which the run goes on, with the parent's name in a branch; an empty string for a new run."""
    if parent:
        return f"step {step} of {parent.run}"
    return f"step {step}" if is_resumed else ""

"""A run from its directory to its exit code: opened fresh or resumed, trained, and left so that it can be resumed."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.host.interrupt import Interrupt, StoppedEarlyError
from engine.journal.disk.run_dir import CHECKPOINTS, has_journal
from engine.journal.inbox import Inbox
from engine.protocol import events as e
from engine.protocol.command_syntax import program_name
from engine.protocol.events import Activity
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec
from engine.protocol.wire import state_from_text
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.command_processor import CommandProcessor
from engine.runtime.loop import Loop
from engine.runtime.outages.memory import is_out_of_memory, out_of_memory
from engine.runtime.recorder import RunRecorder
from engine.runtime.reproduce.recorded_action import RecordedAction
from engine.runtime.reproduce.timeline import remember_conditions
from engine.runtime.start.bootstrap import RunRequest, limits_of, open_recorder
from engine.runtime.start.check_task import check_task
from engine.runtime.start.resume import (
    changed_settings,
    first_weights,
    last_reached,
    never_saved,
    redo_list,
    revise_state,
    still_unusual,
)
from engine.runtime.supervisor import TrainingDivergedError
from engine.supervision.baseline import Baseline
from engine.task import HasBaseline, HasChance, ReportsProgress, Samples, Splits, Task, Tensors, load_task
from engine.training.checkpoint.content import newest_resumable
from engine.training.checkpoint.file import CheckpointDamagedError, checkpoint_name, list_checkpoints, read_checkpoint
from engine.training.data.spans import stacked
from engine.training.device import choose_device, describe
from engine.training.train_state import TrainState, inherit_weights

_CHANCE_SAMPLES = 64


class RunNotSavedError(RuntimeError):
    """The run came to its end, and what it ended with could not be written to the disk."""


def train(request: RunRequest, interrupt: Interrupt) -> int:
    """Train to the end, a stop or a failure; returns the exit code. Raises UserError before the first step.

    0 complete or stopped by command, 1 failed, 128 + n ended by signal n.
    """
    with open_recorder(request) as recorder:
        return train_with(recorder, request, interrupt)


def train_with(recorder: RunRecorder, request: RunRequest, interrupt: Interrupt) -> int:
    """As `train`, in a recorder that is open already."""
    started = time.perf_counter()
    try:
        interrupt.check()
        return _train(request, _read_start(request) if request.resume else None, recorder, interrupt)
    except StoppedEarlyError:
        recorder.record_event(e.RunFinished("stopped", time.perf_counter() - started))
        return interrupt.exit_code()


@dataclass(frozen=True, slots=True)
class Start:
    """The checkpoint that a resumed run goes on from, and the damaged ones that were passed over."""

    payload: dict[str, Any]
    damaged: tuple[e.CheckpointDamaged, ...]


def _read_start(request: RunRequest) -> Start | None:
    """Find where to go on, before the run is touched; None for a run that died before its first checkpoint.

    Raises UserError where nothing is left to do.
    """
    if not list_checkpoints(request.directory / CHECKPOINTS) and never_saved(request.directory):
        return None
    damaged: list[e.CheckpointDamaged] = []
    payload = newest_resumable(
        request.directory / CHECKPOINTS,
        request.config,
        lambda name, error: damaged.append(e.CheckpointDamaged(name, error)),
    )
    training, (epoch, _) = request.config.training, payload["position"]
    out_of_steps = 0 < training.max_steps <= payload["step"]
    if (epoch >= training.epochs or out_of_steps) and not payload["validation_due"]:
        done = f"{payload['step']} steps" if out_of_steps else f"{epoch} epochs"
        longer = "--max-steps" if out_of_steps else "--epochs"
        raise UserError(f"the run {request.directory.name!r} has done its {done}: go on with a larger {longer}")
    return Start(payload, tuple(damaged))


def _train(request: RunRequest, start: Start | None, recorder: RunRecorder, interrupt: Interrupt) -> int:
    started = time.perf_counter()
    opened: list[OpenRun] = []
    try:
        opened.append(open_run(request, start, recorder, interrupt))
        run = opened[0]
        reason = run.loop.train()
        _finish(run, recorder, reason, started)
        return interrupt.exit_code()
    except StoppedEarlyError:
        raise
    except UserError as error:
        if not opened:
            recorder.record_event(e.RunFailed(str(error)))
            raise
        return _failed(recorder, f"{error}{_saved(opened[0], recorder)}")
    except (TrainingDivergedError, RunNotSavedError) as error:
        return _failed(recorder, str(error))
    except Exception as error:  # the engine's root: whatever it was ends in an event and a traceback in console.log
        if is_out_of_memory(error):
            return _out_of_memory(error, opened, recorder)
        logging.getLogger(__name__).error("the engine failed\n%s", traceback.format_exc())
        recorder.record_event(e.RunFailed(f"{type(error).__name__}: {error}"))
        return 1
    finally:
        for run in opened:
            run.checkpointer.close()
            run.train_state.close()


def _saved(run: OpenRun, recorder: RunRecorder) -> str:
    """Write a checkpoint for a run that has to end by no fault of its own; returns what to add where it cannot."""
    run.checkpointer.wait_for_checkpoints()
    if not recorder.state.step or run.checkpointer.has_checkpoint_of(recorder.state.step):
        return ""
    last = run.checkpointer.checkpoint_now("final")
    recorder.record_event(last)
    return f"; its last checkpoint could not be written ({last.error})" if isinstance(last, e.CheckpointFailed) else ""


def _out_of_memory(error: Exception, opened: Sequence[OpenRun], recorder: RunRecorder) -> int:
    """Record that memory ran out. Raises UserError before the first step: the configuration asks for too much.

    No checkpoint is written, for the update that failed may be half done: the last one holds.
    """
    is_validation = any(run.checkpointer.validation_due for run in opened)
    sentence = out_of_memory(error, "" if opened else recorder.state.doing, is_validation=is_validation)
    for run in opened:
        run.checkpointer.wait_for_checkpoints()
    if not recorder.state.step:
        recorder.record_event(e.RunFailed(sentence))
        raise UserError(sentence) from error
    return _failed(recorder, f"{sentence}, and --resume it from {recorder.state.last_checkpoint or 'its start'}")


def _failed(recorder: RunRecorder, sentence: str) -> int:
    """Say in the log and in the journal why a run that had begun goes no further."""
    logging.getLogger(__name__).error("%s", sentence)
    recorder.record_event(e.RunFailed(sentence))
    return 1


@dataclass(slots=True)
class OpenRun:
    """The parts of a run that is ready to train."""

    train_state: TrainState
    checkpointer: Checkpointer
    loop: Loop


def open_run(request: RunRequest, start: Start | None, recorder: RunRecorder, interrupt: Interrupt) -> OpenRun:
    """Build everything, resume where asked, and say in the journal how training starts.

    A resumed run is not touched until data, weights and options are known to fit. Raises UserError before that.
    """
    parts = _fit(request, start, recorder, interrupt)
    try:
        return _begin(parts, request, recorder, interrupt)
    except BaseException:
        parts.train_state.close()
        raise


@dataclass(frozen=True, slots=True)
class _Parts:
    """What fits together: the data, the network with its weights, and what is to be said about them."""

    start: Start | None
    splits: Splits
    train_state: TrainState
    init_from: str
    said: tuple[e.Event, ...]


def _fit(request: RunRequest, start: Start | None, recorder: RunRecorder, interrupt: Interrupt) -> _Parts:
    """Build the parts of a run, restored from its checkpoint; nothing on the disk changes. Raises StoppedEarlyError."""
    config, device, task = request.config, choose_device(request.device), load_task(request.config.task)
    said: list[e.Event] = []
    if start and request.init_from:
        raise UserError("--init-from begins a new run; a resumed one has its own weights: leave one of the two out")
    if start:
        recorder.update(**_resumed_fields(start.payload, config, recorder.state.spec))
        said += [*start.damaged, *changed_settings(start.payload["config"], config)]
    torch.manual_seed(config.training.seed)
    recorder.update(doing="indexing the data")
    interrupt.check()

    def on_progress(text: str) -> None:
        interrupt.check()
        recorder.update(doing=text)

    splits = _open_data(task, config, on_progress)
    interrupt.check()
    said += [e.NoteAdded(note) for note in splits.notes]
    said += [e.SampleRejected(problem.file, problem.error) for problem in splits.problems]
    said += [
        e.AlertRaised("doubtful data", f"{doubt.file}: {doubt.message}", f"{program_name()} data inspect")
        for doubt in splits.doubts
    ]
    recorder.update(doing="building the network")
    model = task.build_model(config).to(device)
    init_from = "" if start else request.init_from or first_weights(request)
    if init_from:
        said.append(_inherit(model, Path(init_from)))
    check_task(task, config, model, splits)
    interrupt.check()
    train_state = TrainState(task, config, model, splits, recorder.state)
    if start:
        train_state.restore(start.payload, recorder.state)
    return _Parts(start, splits, train_state, init_from, tuple(said))


def _begin(parts: _Parts, request: RunRequest, recorder: RunRecorder, interrupt: Interrupt) -> OpenRun:
    """Take the run up on the disk: from here on it is this process's."""
    start, train_state, config = parts.start, parts.train_state, request.config
    task = train_state.task
    is_lost = request.resume and not has_journal(request.directory)
    recorder.begin()
    if request.resume:
        recorder.open_branch(recorder.state.step)
    if is_lost:
        recorder.record_event(_lost_journal(recorder.state.step))
    for event in parts.said:
        recorder.record_event(event)
    checkpointer = Checkpointer(request.directory, config, train_state, recorder)
    if start:
        checkpointer.take_up(start.payload)
    checkpointer.memory.baseline = _baseline(task, parts.splits.train, config)
    recorder.journal.set_meta("chance_levels", {**checkpointer.memory.baseline.chance})
    recorder.update(device=describe(train_state.device), total_steps=train_state.total_steps(recorder.state))
    commands = CommandProcessor(Inbox(request.directory), recorder, train_state, checkpointer, interrupt)
    commands.refuse_stale()
    _schedule(commands, request, recorder)
    remember_conditions(recorder, request, device=train_state.device.type, init_from=parts.init_from)
    recorder.record_event(_started(train_state, parts.splits, recorder, request))
    if not start:
        checkpointer.checkpoint("start")
    recorder.update(doing="waiting for the first batch")
    return OpenRun(train_state, checkpointer, Loop(config, train_state, recorder, checkpointer, commands))


def _lost_journal(step: int) -> e.AlertRaised:
    return e.AlertRaised(
        "journal",
        f"the journal of this run was gone: a new one begins at step {step}, what was recorded before is lost",
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


def _resumed_fields(payload: dict[str, Any], config: RunConfig, spec: TaskSpec) -> dict[str, Any]:
    """The checkpoint's state under the configuration asked for now: what was overridden at the resume wins."""
    then = state_from_text(payload["state"], spec)
    now = revise_state(then, was=payload["config"], now=config)
    now = replace(
        now,
        activity=Activity.STARTING,
        steps_until_pause=None,
        last_checkpoint=checkpoint_name(int(payload["step"])),
        limits=limits_of(config),
    )
    return {name: getattr(now, name) for name in RunState.__dataclass_fields__ if name != "run"}


def _inherit(model: nn.Module, path: Path) -> e.WeightsInherited:
    if not path.is_file():
        raise UserError(
            f"--init-from {path}: there is no such file; give a checkpoint such as runs/NAME/checkpoints/best.pt"
        )
    try:
        weights = read_checkpoint(path)["model"]
    except CheckpointDamagedError as error:
        raise UserError(f"--init-from: {error}; give another checkpoint") from error
    odd = next((name for name, value in weights.items() if not _are_numbers(value)), None)
    if odd is not None:
        raise UserError(f"--init-from {path}: {odd[:100]!r} holds no finite floating-point numbers; give another one")
    loaded, missing, unexpected = inherit_weights(model, weights)
    if not loaded:
        raise UserError(
            f"--init-from {path}: none of its tensors fits this network; use the configuration it came from"
        )
    return e.WeightsInherited(str(path), loaded, tuple(missing), tuple(unexpected))


def _are_numbers(value: torch.Tensor) -> bool:
    return value.is_floating_point() and bool(torch.isfinite(value).all())


def _open_data(task: Task, config: RunConfig, on_progress: Callable[[str], None]) -> Splits:
    if isinstance(task, ReportsProgress):
        return task.open_data_with(config, on_progress)
    return task.open_data(config)


def _some_samples(samples: Samples) -> Tensors:
    """Some training samples from all over the split, to compute chance levels from."""
    total = len(samples)
    count = min(_CHANCE_SAMPLES, total)
    return stacked([samples.sample(0, index * total // count) for index in range(count)])


def _baseline(task: Task, samples: Samples, config: RunConfig) -> Baseline:
    """Return what a network that has learned nothing costs, as far as the task knows that."""
    if not isinstance(task, HasChance | HasBaseline):
        return Baseline({}, {})
    some = _some_samples(samples)
    blind = task.blind(some, config) if isinstance(task, HasBaseline) else {}
    return Baseline(blind, task.chance(some, config) if isinstance(task, HasChance) else {})


def _started(train_state: TrainState, splits: Splits, recorder: RunRecorder, request: RunRequest) -> e.RunStarted:
    return e.RunStarted(
        device=recorder.state.device,
        num_parameters=sum(p.numel() for p in train_state.model.parameters()),
        num_train_samples=len(splits.train),
        num_val_samples=len(splits.val),
        total_steps=recorder.state.total_steps,
        resumed_from=f"step {recorder.state.step}" if request.resume else "",
        learning_rate=request.config.training.learning_rate,
        unusual=still_unusual(request.directory, request.config) if request.resume else request.unusual,
    )


def _finish(run: OpenRun, recorder: RunRecorder, reason: str, started: float) -> None:
    """The last checkpoint, unless the state is on disk already, and the last word.

    No good word for weights that the very last update spoilt: no step came after it to see them.
    """
    run.checkpointer.wait_for_checkpoints()
    if reason == "complete" and not run.train_state.is_finite():
        raise TrainingDivergedError(
            f"at its end, step {recorder.state.step}, weights or moments of the run are not finite: --resume it with a "
            f"larger --epochs or --max-steps, and it goes back to {recorder.state.good_checkpoint or 'its start'}"
        )
    if recorder.state.step and (reason == "stopped" or not run.checkpointer.has_checkpoint_of(recorder.state.step)):
        last = run.checkpointer.checkpoint_now("final")
        recorder.record_event(last)
        if isinstance(last, e.CheckpointFailed):
            raise RunNotSavedError(
                f"the run is {reason} at step {recorder.state.step}, but its last checkpoint could not be written "
                f"({last.error}): free the disk, then --resume it from {recorder.state.last_checkpoint or 'its start'}"
            )
    recorder.watch_losses()
    recorder.record_event(e.RunFinished(reason, time.perf_counter() - started))

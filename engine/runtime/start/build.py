"""Load the data of a run, build its live state, and restore it from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch

from engine.config.tree import RunConfig
from engine.protocol import events as e
from engine.protocol.record import record
from engine.protocol.words.command_syntax import program_name
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.ranks.leader import Leader, LeaderState
from engine.runtime.ranks.successor import LOST
from engine.runtime.recorder import RunRecorder
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.start.changed_config import changed_settings
from engine.runtime.start.check_task import built_network, check_splits, check_task
from engine.runtime.start.inherited_weights import inherit_from
from engine.runtime.start.resume import Start, first_weights
from engine.supervision.alerts.rules import check_rules
from engine.task import ReportsProgress, Splits, Task, load_task
from engine.training.averaging import holds_average
from engine.training.checkpoint.random_states import seed_all
from engine.training.device import choose_device
from engine.training.train_state import TrainState, amp_dtype


@record
class Loaded:
    """The task, the device and the data, and the events that report problems in the data."""

    task: Task
    device: torch.device
    splits: Splits
    said: tuple[e.Event, ...]


@record
class Built:
    """The live state, the checkpoint of the initial weights (or an empty string), and the event that reports it.

    `opened` closes the live state.
    """

    splits: Splits
    train_state: TrainState
    init_from: str
    said: tuple[e.Event, ...]
    opened: ExitStack


def load_data(request: RunRequest, recorder: RunRecorder, interrupt: Interrupt) -> Loaded:
    """Open the data of the task, after seeding the generators. Raises UserError and StoppedEarlyError."""
    config, device, task = request.config, choose_device(request.device), load_task(request.config.task)
    seed_all(config.training.seed)
    recorder.update(doing="indexing the data")
    interrupt.check()

    def on_progress(text: str) -> None:
        interrupt.check()
        recorder.update(doing=text)

    splits = open_data(task, config, on_progress)
    interrupt.check()
    return Loaded(
        task,
        device,
        splits,
        (
            *(e.NoteAdded(note) for note in splits.notes),
            *(e.SampleRejected(problem.file, problem.error) for problem in splits.problems),
            *(
                e.AlertRaised("doubtful data", f"{doubt.file}: {doubt.message}", f"{program_name()} data inspect")
                for doubt in splits.doubts
            ),
            *_slow_precision(config, device),
        ),
    )


def _slow_precision(config: RunConfig, device: torch.device) -> tuple[e.AlertRaised, ...]:
    """Return an alert if the network computes in fp16 on the CPU, where torch has no fast kernels for convolutions."""
    if device.type != "cpu" or amp_dtype(config) is not torch.float16:
        return ()
    message = "fp16 is slow on the CPU: a convolution's backward pass can take hundreds of times as long as in fp32"
    remedy = "--set training.amp_dtype=bf16, or --set training.mixed_precision=false"
    return (e.AlertRaised("slow precision", message, remedy),)


def build(
    request: RunRequest, start: Start | None, loaded: Loaded, recorder: RunRecorder, leader: Leader | None
) -> Built:
    """Build network, optimizer and data streams; the weights of a new run may come from another's checkpoint."""
    config, task = request.config, loaded.task
    recorder.update(doing="building the network")
    model = built_network(task, config).to(loaded.device)
    init_from = "" if start else request.init_from or first_weights(request)
    said = (inherit_from(model, Path(init_from)),) if init_from else ()
    check_task(task, config, model, loaded.splits)
    check_rules(config.alerts, task.spec)
    if leader is None:
        train_state = TrainState(task, config, model, loaded.splits, recorder.state)
    else:
        train_state = LeaderState(leader, task, config, model, loaded.splits, recorder.state)
    opened = ExitStack()
    opened.enter_context(closing(train_state))
    return Built(loaded.splits, train_state, init_from, said, opened)


def restore(start: Start | None, built: Built, request: RunRequest, recorder: RunRecorder) -> tuple[e.Event, ...]:
    """Restore the live state from `start`; return the events that report damage and changed settings."""
    if start is None:
        return ()
    state, kind = built.train_state, request.config.training.averaging
    state.restore(start.payload, recorder.state)
    step = recorder.state.step
    is_new = kind == "ema" and not holds_average(start.payload, kind)
    begun = (e.NoteAdded(f"the average of weights (ema) begins at step {step}: its checkpoint holds none"),)
    changed = changed_settings(start.payload["config"], request.config)
    return (*start.damaged, *_lost_rank(start.payload), *changed, *(begun if is_new else ()))


def _lost_rank(payload: Mapping[str, Any]) -> tuple[e.AlertRaised, ...]:
    """Return an alert about the loss of rank 0, in whose place another rank has written the checkpoint."""
    sentence: str = payload.get(LOST, "")
    remedy = "read what torchrun and that machine report of the process: a lack of memory, or a signal"
    return (e.AlertRaised("lost rank", sentence, remedy, at_step=int(payload["step"])),) if sentence else ()


def open_data(task: Task, config: RunConfig, on_progress: Callable[[str], None]) -> Splits:
    """Return the data of a task. Raises UserError."""
    splits: Any = (
        task.open_data_with(config, on_progress) if isinstance(task, ReportsProgress) else task.open_data(config)
    )
    check_splits(splits)
    return splits

"""Run some steps from a checkpoint under torch's profiler. The run itself is only read."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import torch
from torch.profiler import ProfilerActivity, record_function
from torch.profiler import profile as profiler

from engine.config.load import read_resolved
from engine.errors import UserError
from engine.forensics.ablation import start_of, without_workers
from engine.forensics.capture import kept_random_state
from engine.journal.disk.run_dir import CHECKPOINTS, CONFIG_FILE
from engine.outputs.inference.whole_file import check_target
from engine.outputs.profile_report import ProfileReport, ProfileRequest
from engine.protocol.state import RunState, with_measured
from engine.protocol.wire import state_from_text
from engine.task import load_task
from engine.training.device import choose_device, computing, describe
from engine.training.step_plan import plan_for
from engine.training.train_state import TrainState

_WARM_UP: Final = 3
"""Steps before the profile: the first ones allocate memory and choose algorithms."""
_ROWS: Final = 25
"""Rows of the table."""


def profile(request: ProfileRequest) -> ProfileReport:
    """Profile the steps. Raises UserError if there is no readable checkpoint, or the trace cannot be written."""
    check_target(request.output, "--output")
    config = without_workers(read_resolved(request.run_dir / CONFIG_FILE))
    payload, name = start_of(request.run_dir / CHECKPOINTS, request.checkpoint, config)
    task, device = load_task(config.task), choose_device(request.device)
    state = state_from_text(payload["state"], task.spec)
    with kept_random_state(device), computing(config.training):
        model = task.build_model(config).to(device)
        train_state = TrainState(task, config, model, task.open_data(config), state)
        try:
            train_state.restore(payload, state)
            state = _steps(train_state, state, _WARM_UP)
            with profiler(activities=_activities(device), acc_events=True) as measured:
                began = time.perf_counter()
                _steps(train_state, state, request.num_steps)
                seconds = time.perf_counter() - began
        finally:
            train_state.close()
        own = "self_cpu_time_total" if device.type == "cpu" else "self_device_time_total"
        return ProfileReport(
            checkpoint=name,
            from_step=int(payload["step"]),
            num_steps=request.num_steps,
            seconds_per_step=seconds / request.num_steps,
            device=describe(device),
            table=measured.key_averages().table(sort_by=own, row_limit=_ROWS, max_name_column_width=40),
            trace=_written(measured, request.output),
        )


def _activities(device: torch.device) -> list[ProfilerActivity]:
    more = [ProfilerActivity.CUDA] if device.type == "cuda" else []
    return [ProfilerActivity.CPU, *more]


def _steps(train_state: TrainState, state: RunState, count: int) -> RunState:
    """Train `count` steps and return the state after them; the names of their stages are in the trace."""
    done = 0
    while done < count:
        with record_function("cockpit: draw"):
            drawn = train_state.draw(state.accumulation, excluded=state.excluded_samples)
        assert drawn is not None, "give_up was never true"
        if drawn.batches:
            with record_function("cockpit: step"):
                plan = plan_for(train_state.progress, state, train_state.config)
                train_state.train_step.run(drawn.batches, plan).resolve()
            state, done = with_measured(state, step=state.step + 1), done + 1
    return state


def _written(measured: Any, output: Path) -> Path:
    """Write the trace to `output`, completely or not at all. Raises UserError if writing fails."""
    try:
        handle, partial = tempfile.mkstemp(dir=output.resolve().parent, prefix=".trace-", suffix=".json")
        os.close(handle)
        try:
            measured.export_chrome_trace(partial)
            Path(partial).replace(output.resolve())
        finally:
            Path(partial).unlink(missing_ok=True)
    except OSError as error:
        sentence = f"cannot write the trace {output}: {error.strerror}; choose another --output"
        raise UserError(sentence) from error
    return output

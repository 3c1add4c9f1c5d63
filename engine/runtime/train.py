"""Train a run from its directory to its exit code, and leave it so that it can be resumed."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress

from engine.errors import UserError, in_words
from engine.protocol import events as e
from engine.protocol.state import with_measured
from engine.runtime.host.interrupt import Interrupt, StoppedEarlyError
from engine.runtime.monitoring.supervisor import TrainingDivergedError
from engine.runtime.outages.memory import is_out_of_memory, out_of_memory
from engine.runtime.outages.validation_parts import NoSampleFitsError
from engine.runtime.ranks.group import RankLostError
from engine.runtime.ranks.leader import Leader, leading
from engine.runtime.recorder import RunRecorder
from engine.runtime.start.bootstrap import RunRequest, initial_state, open_recorder, with_threads
from engine.runtime.start.open_run import OpenRun, open_run
from engine.runtime.start.restart import TORCHRUN
from engine.runtime.start.resume import Start, find_start
from engine.training.device import computing


class RunNotSavedError(RuntimeError):
    """Raised if the run has ended but its final state could not be written to disk."""


def train(request: RunRequest, interrupt: Interrupt) -> int:
    """Train until completion, a stop or a failure, and return the exit code.

    0 for complete or stopped by command, 1 for failed, 128 + n after signal n, `preemption.requeue_exit_code` after the
    scheduler's signal or the time limit. Raises UserError before the first step.
    """
    request = with_threads(request)
    with open_recorder(request) as recorder:
        return train_with(recorder, request, interrupt)


def train_with(recorder: RunRecorder, request: RunRequest, interrupt: Interrupt) -> int:
    """Train like `train`, with an open recorder that may have the state of another configuration."""
    started = time.perf_counter()
    interrupt.react_as(request.config.preemption.reactions())
    try:
        interrupt.check()
        fresh = initial_state(request.directory.name, request.config)
        recorder.start_from(with_measured(fresh, doing=recorder.state.doing))
        if request.launch is not None and request.launch.job:
            recorder.journal.set_meta(TORCHRUN, request.launch.job)
        start = find_start(request)
        with computing(request.config.training), leading(request, interrupt) as leader:
            return _train(request, start, recorder, interrupt, leader)
    except StoppedEarlyError:
        recorder.record_event(e.RunFinished("stopped", time.perf_counter() - started))
        return interrupt.exit_code()
    except RankLostError as error:  # before all ranks were connected
        return _failed(recorder, str(error))


def _train(
    request: RunRequest, start: Start | None, recorder: RunRecorder, interrupt: Interrupt, leader: Leader | None
) -> int:
    started = time.perf_counter()
    opened: list[OpenRun] = []
    try:
        opened.append(open_run(request, start, recorder, interrupt, leader))
        run = opened[0]
        interrupt.has_trained = True
        reason = run.loop.train()
        interrupt.is_complete = reason == "complete"
        _finish(run, recorder, reason, started)
        return interrupt.exit_code()
    except StoppedEarlyError:
        raise
    except UserError as error:
        if not opened:
            recorder.record_event(e.RunFailed(str(error)))
            raise
        return _failed(recorder, f"{error}{_saved(opened[0], recorder)}")
    except RankLostError as error:
        return _failed(recorder, f"{error}{_saved(opened[0], recorder) if opened else ''}")
    except (TrainingDivergedError, RunNotSavedError) as error:
        return _failed(recorder, str(error))
    except Exception as error:  # the engine's root: every error becomes an event, with its traceback in console.log
        if is_out_of_memory(error):
            return _out_of_memory(error, opened, recorder, 1 if request.launch is None else request.launch.world)
        logging.getLogger(__name__).error("the engine failed\n%s", traceback.format_exc())
        saved = "".join(_saved_if_possible(run, recorder) for run in opened if run.loop.supply.can_be_saved)
        recorder.record_event(e.RunFailed(f"{in_words(error)}{saved}"))
        return 1
    finally:
        for run in opened:
            run.checkpointer.close()
            run.opened.close()


def _saved(run: OpenRun, recorder: RunRecorder) -> str:
    """Write a checkpoint for a run that must end without a fault of its own.

    Return a sentence about a failed write, or an empty string.
    """
    run.checkpointer.wait_for_checkpoints()
    if not recorder.state.step or run.checkpointer.has_checkpoint_of(recorder.state.step):
        return ""
    last = run.checkpointer.checkpoint_now("final")
    recorder.record_event(last)
    return f"; its last checkpoint could not be written ({last.error})" if isinstance(last, e.CheckpointFailed) else ""


def _out_of_memory(error: Exception, opened: Sequence[OpenRun], recorder: RunRecorder, world: int) -> int:
    """Record that memory ran out. Raises UserError before the first step: the configuration asks for too much.

    `world` is the number of ranks, which share a batch.

    A checkpoint is written, unless an update may be half done: then the last one holds.
    """
    fits_none = isinstance(error, NoSampleFitsError)
    is_validation = fits_none or any(run.checkpointer.memory.validation_due for run in opened)
    size = 0 if is_validation else max(recorder.state.batch_size // world, 1)
    doing = "" if opened else recorder.state.doing
    sentence = out_of_memory(
        error,
        "preparing one sample of a validation" if isinstance(error, NoSampleFitsError) and error.is_reading else doing,
        is_validation=is_validation,
        batch_size=1 if fits_none else size,
        rank=error.rank if isinstance(error, NoSampleFitsError) else None,
    )
    for run in opened:
        run.checkpointer.wait_for_checkpoints()
        sentence += _saved_if_possible(run, recorder) if fits_none or run.loop.supply.can_be_saved else ""
    if not recorder.state.step:
        recorder.record_event(e.RunFailed(sentence))
        raise UserError(sentence) from error
    return _failed(recorder, f"{sentence}, and --resume it from {recorder.state.last_checkpoint or 'its start'}")


def _failed(recorder: RunRecorder, sentence: str) -> int:
    """Record in the log and in the journal why a run has failed. Return the exit code."""
    logging.getLogger(__name__).error("%s", sentence)
    recorder.record_event(e.RunFailed(sentence))
    return 1


def _saved_if_possible(run: OpenRun, recorder: RunRecorder) -> str:
    with suppress(MemoryError, RuntimeError):  # there may be no memory for the copies either
        return _saved(run, recorder)
    return ""


def _finish(run: OpenRun, recorder: RunRecorder, reason: str, started: float) -> None:
    """Write the last checkpoint, unless the state is already on disk, and record the end.

    Raises TrainingDivergedError if the last update damaged the weights, which no later step would detect. Raises
    RunNotSavedError if the checkpoint cannot be written.
    """
    run.checkpointer.wait_for_checkpoints()
    if reason == "complete" and not run.train_state.is_finite():
        raise TrainingDivergedError(
            f"at its end, step {recorder.state.step}, weights or moments of the run are not finite: --resume it with a "
            f"larger --epochs or --max-steps, and it goes back to {recorder.state.good_checkpoint or 'its start'}"
        )
    if recorder.state.step and (reason == "stopped" or not run.checkpointer.has_checkpoint_of(recorder.state.step)):
        _save_last(run, recorder, reason)
    recorder.watch_losses()
    recorder.record_event(e.RunFinished(reason, time.perf_counter() - started))


def _save_last(run: OpenRun, recorder: RunRecorder, reason: str) -> None:
    last = run.checkpointer.checkpoint_now("final")
    recorder.record_event(last)
    if isinstance(last, e.CheckpointFailed):
        raise RunNotSavedError(
            f"the run is {reason} at step {recorder.state.step}, but its last checkpoint could not be written "
            f"({last.error}): free the disk, then --resume it from {recorder.state.last_checkpoint or 'its start'}"
        )

"""Refuse what a run cannot do: a second process for a running one, and what only tasks can do for an attached one.

The code of an attached run is a program that the engine cannot call.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from cockpit.text.next_steps import command_for
from engine.errors import UserError
from engine.journal.disk.find_run import recorded_config
from engine.journal.disk.run_dir import has_journal, running_process
from engine.journal.reader import JournalReader
from engine.journal.task_meta import ATTACHED, RECORDED_FROM, Attached, attached_of
from engine.protocol.words.command_syntax import program_name


def refuse_resume(run_dir: Path) -> None:
    """Raise UserError, with what to do instead, if the run in `run_dir` is running or attached."""
    if pid := running_process(run_dir):
        raise UserError(
            f"the run {run_dir.name!r} is running (pid {pid}): {command_for(run_dir, 'attach')} opens its screen; "
            "stop it before you resume it"
        )
    if (attached := _attached(run_dir)) is not None:
        again = attached.resume or f"begin a new run: {program_name()} run {attached.program}"
        raise UserError(f"--resume cannot start {attached.program}, which trained {run_dir.name}: {again}")


def refuse_branch(run_dir: Path) -> None:
    """Raise UserError, with what to do instead, if the run in `run_dir` is attached."""
    if (attached := _attached(run_dir)) is not None:
        raise UserError(
            f"branch continues tasks, and {run_dir.name} was trained by {attached.program}: start the program again "
            "under another name, from a checkpoint of its own"
        )


def refuse_redrive(run_dir: Path) -> None:
    """Raise UserError, with what to do instead, if the run in `run_dir` is attached."""
    if (attached := _attached(run_dir)) is not None:
        raise UserError(
            f"redrive reproduces tasks, and {run_dir.name} was trained by {attached.program}: start the program again "
            "under another name, and compare the two with metrics"
        )


def refuse_diagnose(run_dir: Path) -> None:
    """Raise UserError, with what to do instead, if the run in `run_dir` is attached."""
    if (attached := _attached(run_dir)) is not None:
        raise UserError(
            f"diagnose repeats steps of tasks, and {run_dir.name} was trained by {attached.program}: what was found "
            f"while it trained is listed by {command_for(run_dir, 'events')}"
        )


def refuse_profile(run_dir: Path) -> None:
    """Raise UserError, with what to do instead, if the run in `run_dir` is attached."""
    if (attached := _attached(run_dir)) is not None:
        raise UserError(
            f"profile repeats steps of tasks, and {run_dir.name} was trained by {attached.program}: use torch.profiler "
            "in that program"
        )


def _attached(run_dir: Path) -> Attached | None:
    """Return the program of an attached run; `None` for a run of a task, or without a journal that can be read.

    The configuration is looked at first: opening a journal may write to its files, and a refusal leaves a run as it is.
    """
    try:
        text = recorded_config(run_dir).read_text(encoding="utf-8", errors="replace")
        if not text.startswith(RECORDED_FROM) or not has_journal(run_dir):
            return None
        with closing(JournalReader(run_dir)) as reader:
            return attached_of(reader.meta(ATTACHED))
    except (OSError, UserError):
        return None

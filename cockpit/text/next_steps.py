"""Describe the end of a run, and the commands that continue from it, as a user types them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from cockpit.text.format import escape_control
from engine.journal.disk.run_dir import FORENSICS
from engine.journal.reader import Entry
from engine.journal.task_meta import Attached
from engine.protocol import events as e
from engine.protocol.events import Activity
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.words.command_syntax import INSTALLED_COMMAND, program_name


@record
class End:
    """The end of a run: 'finished', 'stopped' or 'failed', the reason, and the seconds of its last process."""

    word: str
    why: str
    seconds: float | None

    @property
    def said(self) -> str:
        """Return it as one line: 'stopped at step 120 by ada (seen enough)', 'failed: the disk is full'."""
        joint = " " if self.word == "stopped" else ": "
        return f"{self.word}{joint}{self.why}" if self.why else self.word


def end_of(state: RunState, entries: Sequence[Entry]) -> End | None:
    """Return the end of the run in `state` with the journal's `entries`, oldest first; `None` while it continues."""
    if state.activity not in (Activity.FINISHED, Activity.FAILED):
        return None
    last = next((x for x in reversed(entries) if isinstance(x.event, e.RunFinished | e.RunFailed)), None)
    match last.event if last else None:
        case e.RunFinished(reason="complete", seconds=seconds):
            done = "the only step is done" if state.step == 1 else f"all {state.step} steps are done"
            return End("finished", done, seconds)
        case e.RunFinished(reason="stopped", seconds=seconds):
            return End("stopped", f"at step {state.step}{_by_whom(entries)}", seconds)
        case e.RunFinished(reason=reason, seconds=seconds):
            return End("finished", escape_control(reason), seconds)
        case e.RunFailed(error=error):
            return End("failed", escape_control(error), _lasted(entries))
        case _:
            return End(state.activity.value, "", None)


def _by_whom(entries: Sequence[Entry]) -> str:
    """Return the actor and the reason of the stop since the newest start; an empty string if there was none."""
    asked = next((x for x in reversed(entries) if isinstance(x.event, e.StopRequested | e.RunStarted)), None)
    if asked is None or not isinstance(asked.event, e.StopRequested):
        return ""
    reason = f" ({escape_control(asked.event.reason)})" if asked.event.reason else ""
    return f" by {escape_control(asked.actor)}{reason}"


def _lasted(entries: Sequence[Entry]) -> float | None:
    """Return the seconds from the newest start to the last event; `None` without a start."""
    began = next((entry.time for entry in reversed(entries) if isinstance(entry.event, e.RunStarted)), None)
    return None if began is None else max(entries[-1].time - began, 0.0)


def resume_command(run_dir: Path, *more: str) -> str:
    """Return the command that continues the run in `run_dir`; `more` are the words after its name."""
    return command_for(run_dir, "--resume", *more)


def command_for(run_dir: Path, word: str, *rest: str) -> str:
    """Return the command `word` (such as 'send' or '--resume') for the run in `run_dir`; `rest` follows its name."""
    name = program_name()
    words = [*(() if name == INSTALLED_COMMAND else ("python",)), name, word, run_dir.name, *rest]
    return shlex.join(words if run_dir.parent == Path("runs") else [*words, "--runs-dir", str(run_dir.parent)])


def next_steps_attached(run_dir: Path, attached: Attached) -> Iterator[tuple[str, str]]:
    """Yield the next steps after the end of a foreign training, which only its own program can continue."""
    if attached.resume:
        yield "go on", escape_control(attached.resume)
    yield "its curves", command_for(run_dir, "plot")
    yield "what happened", command_for(run_dir, "events")


def next_steps(run_dir: Path, state: RunState, end: End, *, max_steps: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the next steps after the end `end` of a run, each with its command, the most useful first.

    `max_steps` is the run's own limit, 0 if its epochs are the limit.
    """
    if end.word == "failed" and any((run_dir / FORENSICS).glob("step-*")):
        yield "find the cause", command_for(run_dir, "diagnose")
    if state.last_checkpoint:
        is_done = 0 < state.total_steps <= state.step
        longer = ("--max-steps", str(2 * max_steps)) if max_steps else ("--epochs", str(2 * (state.epoch + 1)))
        more = longer if is_done else ()
        yield "train further" if is_done else "go on", resume_command(run_dir, *more)
    yield "its curves", command_for(run_dir, "plot")
    yield "what happened", command_for(run_dir, "events")
    if end.word == "finished":
        yield "again, bit by bit", command_for(run_dir, "redrive")

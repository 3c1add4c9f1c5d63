"""The lines on the main screen about the end of a run: how it ended, its best score, and the next commands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cockpit.session.session import Session
from cockpit.text.format import decimal, escape_control
from cockpit.text.next_steps import End, next_steps, next_steps_attached
from cockpit.ui.panels.records.config_values import ConfigValues
from engine.protocol.words.command_syntax import program_name

if TYPE_CHECKING:
    from cockpit.app.training_handle import RunResult

_FEW: Final = 3
"""Lines in brief: the end, and the two most useful commands."""


def end_lines(session: Session, ending: RunResult) -> list[str]:
    """Return the lines about the run of `session`, which ended like this."""
    state, best, failed = session.state, session.best, ending.code == 1
    if state is None:
        why = escape_control(ending.error) or "it ended before it began, the log may say why"
        return [f"✗ {why}; q leaves"]
    end = session.end or End("failed" if failed else "ended", "", None)
    if ending.error:
        end = replace(end, why=escape_control(ending.error))
    score = escape_control(session.spec.score_title)
    parts = [f"{'✗' if failed else '✓'} {end.said}"]
    if best:
        parts.append(f"best {score} {decimal(best.score, 4)} at step {best.step}")
    elif score:
        parts.append(f"no best {score}")
    parts.append("q leaves")
    if (attached := session.origin.attached) is not None:
        steps = next_steps_attached(session.run_dir, attached)
    else:
        max_steps = int(ConfigValues().number(session.run_dir, "training.max_steps") or 0)
        steps = next_steps(session.run_dir, state, end, max_steps=max_steps)
    return ["; ".join(parts), *(f"  {what}: {command}" for what, command in steps)]


def in_brief(lines: Sequence[str]) -> list[str]:
    """Return `lines` of `end_lines` for a low terminal: of the less useful commands only their words."""
    *first, last = lines[:_FEW]
    words = [_word_of(line) for line in lines[_FEW:]]
    return [*first, f"{last}   also: {', '.join(words)}" if words else last]


def _word_of(line: str) -> str:
    """Return the word of a command, such as 'events', from its line."""
    words = shlex.split(line.partition(": ")[2])
    return words[words.index(program_name()) + 1]

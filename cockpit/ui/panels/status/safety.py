"""The safety panel: guardian, faults so far, and checkpoints to roll back to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Final

import numpy as np
from textual.content import Content

from cockpit.session.activity.activity_text import OVER
from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.format import duration, escape_control, number
from cockpit.ui.panels.status.newest_events import NewestEvents, saved_at
from cockpit.ui.panels.toolkit.line_panel import TitledLinePanel
from cockpit.ui.panels.toolkit.line_parts import cut, jump, link, padded
from cockpit.ui.panels.toolkit.symbols import BAD, GOOD, LABEL, STRONG, WAITING, WARN
from engine.protocol import events as e
from engine.protocol.commands import ExcludeSamples, Rollback, SetGuardian
from engine.protocol.state import RunState

_TWO_COLUMNS: Final = 92
_LABEL_WIDTH: Final = 18
_WAIT_STEPS: Final = 50
Fact = tuple[str, Content]


class SafetyPanel(TitledLinePanel):
    """Counters and names, each with a label."""

    TITLE: ClassVar[str] = "Safety"
    HELP = "Protection of the run: skipped steps, spikes, clipping, and checkpoints to roll back to."

    def __init__(self, *, marker: str = "braille", id: str | None = None) -> None:
        super().__init__(marker=marker, id=id)
        self._session: Session | None = None
        self._newest = NewestEvents()

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Show the present state of the guards."""
        self._session = session
        self._newest.follow(session.entries)
        self.repaint_for(session, update)

    def lines(self, width: int) -> list[Content]:
        """Return one fact per line, two if there is room; long facts come last."""
        session = self._session
        if session is None or session.state is None:
            return [Content.styled("no values before the run has begun", LABEL)]
        facts, column = list(self._facts(session, session.state)), width // 2
        short = [fact for fact in facts if width >= _TWO_COLUMNS and _line(fact).cell_length <= column - 2]
        half = math.ceil(len(short) / 2)
        right = [*map(_line, short[half:]), Content()]
        pairs = [
            one.pad_right(column - one.cell_length) + other
            for one, other in zip(map(_line, short[:half]), right, strict=False)
        ]
        return [*pairs, *(line for fact in facts if fact not in short for line in _narrow(fact, width))]

    def _facts(self, session: Session, state: RunState) -> Iterable[Fact]:
        soon = session.soon.state
        yield "guardian", self._guardian(state, soon)
        yield "skipped steps", _count(state.skipped_steps, BAD) + self._last("skipped")
        yield "spikes", _count(state.spikes, WARN) + self._last("spike")
        yield "clipped", self._clipped(session, state)
        yield "loss clamps", _count(state.clamp_hits, WARN)
        if not state.spec.why_unsupported(Rollback.op) or state.rollbacks:
            yield "guardian rollbacks", _count(state.rollbacks, WARN) + self._last("rollback")
        yield "last good", self._checkpoint(session, state, state.good_checkpoint, "good")
        yield "last checkpoint", self._checkpoint(session, state, state.last_checkpoint, "saved")
        validated = self._newest.get("validation")
        if validated is not None and (averaged := getattr(validated.event, "averaged", "")):
            yield "validated", Content.styled(escape_control(f"averaged weights ({averaged})"), STRONG)
        yield "last fault", self._fault(state)
        if not state.spec.why_unsupported(ExcludeSamples.op):
            yield "excluded samples", _count(len(state.excluded_samples), WARN)
            yield "unusable files", _count(state.rejected_samples, WARN)
        if state.spec.knows_data:
            yield "data wait", _data_wait(session)
        yield "disk", self._disk()

    def _guardian(self, state: RunState, soon: RunState) -> Content:
        is_fixed = bool(state.spec.why_unsupported(SetGuardian.op))
        if is_fixed and not state.guardian:
            return Content.styled("not in this run", LABEL)
        text = (
            Content.styled("on, auto-recovery", f"bold {GOOD}")
            if state.guardian
            else Content.styled("off, watches only", BAD)
        )
        if soon.guardian is not state.guardian:
            text += Content.styled(f" -> {'on' if soon.guardian else 'off'} {self.signs.dots}", WAITING)
        return text if is_fixed or state.activity in OVER else text + Content(" ") + link("[G]", "guardian")

    def _clipped(self, session: Session, state: RunState) -> Content:
        share = Content.styled(
            f"{100 * state.clip_rate:.0f} % of the newest steps", WARN if state.clip_rate > 0.5 else STRONG
        )
        threshold = session.history.newest("clip/threshold")
        bound = min(state.gradient_clip, threshold) if threshold is not None else state.gradient_clip
        return share + Content.styled(", the clip is off" if bound == math.inf else f", at {number(bound, 3)}", LABEL)

    def _checkpoint(self, session: Session, state: RunState, name: str, remembered: str) -> Content:
        """Return the file and the work since then: in steps, and in time at the present pace."""
        if not name and state.spec.why_unsupported(Rollback.op):
            return Content.styled("not in this run" if remembered == "good" else "none yet", LABEL)
        if not name:
            return Content.styled("none yet", WARN if remembered == "good" else LABEL)
        text = Content.styled(escape_control(name), STRONG)
        entry = self._newest.get(remembered)
        if entry is None:
            return text
        steps = max(state.step - saved_at(entry), 0)
        pace = session.steps_per_second
        worth = f" ({duration(steps / pace)})" if pace and steps else ""
        return text + Content.styled(f", {steps} step{'' if steps == 1 else 's'}{worth} ago", LABEL)

    def _last(self, name: str) -> Content:
        entry = self._newest.get(name)
        if entry is None:
            return Content()
        step = getattr(entry.event, "at_step", 0) or entry.step
        return Content.assemble((", last at ", LABEL), jump(f"step {step}", step))

    def _fault(self, state: RunState) -> Content:
        """Return the last fault as a link, as its text begins with the step."""
        entry = self._newest.get("fault")
        if not state.fault or entry is None:
            none = "none named" if state.skipped_steps else "none"
            return Content.styled(escape_control(state.fault) or none, BAD if state.fault else LABEL)
        step = entry.event.at_step if isinstance(entry.event, e.FaultNamed) else entry.step
        return jump(escape_control(state.fault), step, BAD)

    def _disk(self) -> Content:
        entry = self._newest.get("disk")
        if entry is None:
            return Content.styled("no trouble", LABEL)
        said = entry.event.message if isinstance(entry.event, e.AlertRaised) else getattr(entry.event, "error", "")
        return Content.styled(escape_control(said), BAD) + self._last("disk")


def _line(fact: Fact) -> Content:
    label, value = fact
    return Content.styled(padded(label, _LABEL_WIDTH) + " ", LABEL) + value


def _narrow(fact: Fact, width: int) -> list[Content]:
    """Return one line if the fact fits, else the label with the value indented below."""
    label, value = fact
    if _LABEL_WIDTH + 1 + value.cell_length <= width:
        return [_line(fact)]
    below = value.wrap(max(width - 2, 1))
    return [Content.styled(label, LABEL), *(cut(Content("  ") + line, width) for line in below)]


def _count(count: int, style: str) -> Content:
    return Content.styled(str(count), f"bold {style}" if count else STRONG)


def _data_wait(session: Session) -> Content:
    """Return the share of the newest steps' time that was spent on waiting for batches."""
    last = session.history.last_step
    _, waits = session.history.rows("data_wait", last - _WAIT_STEPS + 1, last)
    waits = waits[np.isfinite(waits)]
    if not waits.size or not session.steps_per_second:
        return Content.styled("-", LABEL)
    share = min(float(waits.mean()) * session.steps_per_second, 1.0)
    return Content.styled(f"{100 * share:.0f} % of the time", WARN if share > 0.3 else STRONG)

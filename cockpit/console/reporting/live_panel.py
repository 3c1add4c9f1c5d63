"""Draw the live panel of a run: a few lines, of any width from 40 columns up."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from cockpit.console.incident_text import incident_line
from cockpit.console.reporting.run_view import RunView
from cockpit.session.activity.activity_text import OVER
from cockpit.text.format import decimal, duration, escape_control, number, plural, rate
from engine.protocol.events import Activity
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec

_CELL = 40
_MIN_BAR, _MAX_BAR = 8, 40


@record
class LineSegment:
    """A piece of a line that is never broken: a label, a value, and the style of the value."""

    label: str
    value: str
    style: str = "bold"


def panel(view: RunView, *, width: int, ascii_only: bool = False) -> Text:
    """Return the panel as one text, every line at most `width` cells wide."""
    lines = [
        *flowing(_identity(view), width),
        _progress(view, width, ascii_only),
        *flowing(_measures(view), width),
        *_terms(view, width),
    ]
    if view.alert is not None:
        lines.append(_alert(view, width))
    return Text("\n", end="").join(lines)


def progress_line(view: RunView) -> str:
    """Return the same figures in one plain line, for a log."""
    state = view.state
    if state.activity is Activity.STARTING:
        return view.pulse
    parts = [
        f"step {_steps(state)}" + (f" ({_percent(state)})" if state.total_steps else ""),
        *([f"epoch {state.epoch + 1}"] if state.spec.knows_data else []),
        *(f"{part.label} {part.value}".strip() for part in _measures(view) if part.value != "-"),
    ]
    if state.activity not in OVER and not _is_endless(state):
        parts.append(f"ETA {duration(view.remaining)}")
    if view.pulse != "running":
        parts.append(view.pulse)
    return "  ".join(parts)


def flowing(parts: Iterable[LineSegment], width: int) -> list[Text]:
    """Return the parts, two spaces apart, on as many lines as they need; cut a part that is wider than a line."""
    lines = [Text()]
    for part in parts:
        text = Text(f"{part.label} " if part.label else "", "dim")
        text.append(part.value, part.style)
        text.truncate(width, overflow="ellipsis")
        if lines[-1] and lines[-1].cell_len + 2 + text.cell_len > width:
            lines.append(Text())
        lines[-1].append("  " if lines[-1] else "")
        lines[-1].append_text(text)
    return [line for line in lines if line]


def loss_style(value: float | None, chance: float | None) -> str:
    """Return the style of a loss: red if it is not finite, yellow above its chance level."""
    if value is not None and not math.isfinite(value):
        return "bold red"
    return "yellow" if value is not None and chance is not None and value > chance else "bold"


def phase_title(state: RunState) -> str:
    """Return the phase by its number and its title."""
    phases = state.spec.phases
    title = phases[state.phase].title if 0 <= state.phase < len(phases) else ""
    return f"{state.phase} {escape_control(title)}".rstrip()


def score_label(spec: TaskSpec) -> str:
    """Return the title of the score next to the training's loss: that of a validation is 'val/loss'."""
    return "val/loss" if spec.score == "loss" else escape_control(spec.score_title)


def _identity(view: RunView) -> Iterable[LineSegment]:
    state = view.state
    yield LineSegment("", escape_control(state.run))
    if len(state.spec.phases) > 1:
        yield LineSegment("phase", phase_title(state))
    if state.spec.knows_data:
        yield LineSegment("epoch", str(state.epoch + 1))
    yield LineSegment("on", escape_control(state.device) or "-", "")
    yield LineSegment("", view.pulse, "bold" if view.pulse.startswith("running") else "bold yellow")


def _steps(state: RunState) -> str:
    """Return the steps done, of all steps if their number is known."""
    return f"{state.step}/{state.total_steps}" if state.total_steps else str(state.step)


def _is_endless(state: RunState) -> bool:
    """Return whether the run has begun without a known number of steps."""
    return bool(state.step) and not state.total_steps


def _percent(state: RunState) -> str:
    return f"{100 * state.step / state.total_steps:.1f} %" if state.total_steps else "-"


def _progress(view: RunView, width: int, ascii_only: bool) -> Text:
    """Return the progress bar with its figures; a narrow terminal shortens the bar first."""
    state = view.state
    said = f" {_steps(state)}" + (f" {_percent(state)}" if state.total_steps else "")
    times = f"  {duration(view.elapsed)} gone" + ("" if _is_endless(state) else f"  ETA {duration(view.remaining)}")
    room = width - cell_len(said)
    if room - len(times) >= _MIN_BAR:
        said, room = said + times, room - len(times)
    done = min(state.step / state.total_steps, 1.0) if state.total_steps else 0.0
    length = max(min(room, _MAX_BAR), 0)
    full = round(done * length)
    line = Text(("#" if ascii_only else "━") * full, "green")
    line.append(("." if ascii_only else "━") * (length - full), "dim")
    line.append(said)
    line.truncate(width)
    return line


def _measures(view: RunView) -> Iterable[LineSegment]:
    state, speed = view.state, view.steps_per_second
    chance = total_chance(state, view)
    yield LineSegment("loss", number(state.loss), loss_style(state.loss, chance))
    if chance is not None:
        yield LineSegment("chance level", number(chance), "")
    yield LineSegment("gradient norm", number(state.grad_norm), loss_style(state.grad_norm, None))
    yield LineSegment("lr", rate(state.lr) if state.lr else "-")
    if state.spec.score:
        score = "-" if state.score is None else decimal(state.score, 4)
        yield LineSegment(score_label(state.spec), score)
    if view.best is not None:
        yield LineSegment("best", f"{decimal(view.best.score, 4)} at step {view.best.step}")
    if speed:
        yield LineSegment("", f"{number(speed, 3)} steps/s", "")
    if state.samples_per_second:
        yield LineSegment("", f"{number(state.samples_per_second, 3)} {plural(state.spec.sample_noun)}/s", "")
    counts = (
        ("skipped", state.skipped_steps, "bold red"),
        ("loss clamps", state.clamp_hits, "bold yellow"),
        ("unusable files", state.rejected_samples, "bold red"),
        ("alerts", view.alerts, "bold red"),
    )
    yield from (LineSegment(label, str(count), style) for label, count, style in counts if count)


def total_chance(state: RunState, view: RunView) -> float | None:
    """Return the weighted sum of the chance levels of the newest terms, `None` while they are unknown."""
    weighed = [state.loss_weights.get(term, 0.0) * view.chance[term] for term in view.terms if term in view.chance]
    return math.fsum(weighed) if weighed else None


def _terms(view: RunView, width: int) -> list[Text]:
    """Return the raw loss terms with their chance levels, in as many columns as fit."""
    cells = [_term(view, term) for term in view.state.spec.term_names if term in view.terms]
    per_line = max(width // _CELL, 1)
    lines = [Text("  ").join(cells[start : start + per_line]) for start in range(0, len(cells), per_line)]
    for line in lines:
        line.truncate(width)
    return lines


def _term(view: RunView, term: str) -> Text:
    value, chance = view.terms[term], view.chance.get(term)
    cell = Text(f"{term:<14} ", "dim")
    cell.append(f"{number(value):>9}", loss_style(value, chance))
    cell.append(f" chance {number(chance)}", "dim")
    cell.truncate(_CELL - 2, pad=True)
    return cell


def _alert(view: RunView, width: int) -> Text:
    assert view.alert is not None
    said = f"! step {view.alert.last_step}: {incident_line(view.alert)}"
    fitting = said if cell_len(said) <= width else set_cell_size(said, max(width - 3, 0)) + "..."
    return Text(fitting, "bold red")

"""Summarise a run on the console: end, results, interventions, and the command that continues it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.text import Text

from cockpit.console.incident_text import incident_line
from cockpit.console.reporting.live_panel import loss_style, phase_title
from cockpit.console.reporting.log_lines import entry_line
from cockpit.console.step_time_text import step_time_of
from cockpit.session.incidents.incident import Incident
from cockpit.session.incidents.incidents import incidents_of
from cockpit.session.run_summary import Best, best_validation, chance_levels, last_terms
from cockpit.text.format import decimal, duration, escape_control, number, rate
from cockpit.text.next_steps import resume_command
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.journal.reader import Entry, JournalReader
from engine.journal.task_meta import ATTACHED, Attached, attached_of
from engine.outputs.step_time import StepTime, divided
from engine.protocol import events as e
from engine.protocol.commands import ENGINE
from engine.protocol.events import Activity, Status
from engine.protocol.record import record
from engine.protocol.state import RunState, knob_text
from engine.protocol.words.command_syntax import program_name

_MAX_LISTED = 20


@record
class RunSummary:
    """The data of a summary, read from the journal once; `time` is that of the newest steps, with the verdict."""

    run_dir: Path
    state: RunState
    entries: tuple[Entry, ...]
    terms: dict[str, float]
    chance: dict[str, float]
    best: Best | None
    attached: Attached | None = None
    time: tuple[StepTime, str] | None = None


def read_outcome(reader: JournalReader, run_dir: Path) -> RunSummary | None:
    """Return the outcome of the run in `run_dir`, `None` if it never recorded a state."""
    state = reader.state()
    if state is None:
        return None
    return RunSummary(
        run_dir=run_dir,
        state=state,
        entries=tuple(reader.events()),
        terms=last_terms(reader, first=reader.newest_ids().step),
        chance=chance_levels(reader),
        best=best_validation(reader),
        attached=attached_of(reader.meta(ATTACHED)),
        time=step_time_of(reader, state.step),
    )


def summary_lines(outcome: RunSummary) -> list[Text]:
    """Return the summary without its curves."""
    return [
        Text(f"{escape_control(outcome.state.run)}: {ending(outcome)}", "bold"),
        *fact_lines(outcome),
        # A path or a command that is broken over two lines cannot be copied.
        *(Text(f"  {line}", no_wrap=True) for line in way_on(outcome)),
    ]


def fact_lines(outcome: RunSummary) -> list[Text]:
    """Return the facts of a run: steps, results, troubles, interventions and alerts."""
    spec = outcome.state.spec
    return [
        Text(f"  {_where(outcome.state)}"),
        Text(f"  {_reached(outcome)}"),
        *_time(outcome.time),
        *_terms(outcome),
        *_knobs(outcome.state),
        *_troubles(outcome),
        *_listed("interventions", [entry_line(entry, spec) for entry in outcome.entries if is_intervention(entry)]),
        *_listed("alerts", [_incident(incident) for incident in incidents_of(outcome.entries)]),
    ]


def is_intervention(entry: Entry) -> bool:
    """Return whether the entry is the outcome of a command, or has another actor than the engine."""
    return entry.status is not Status.NOTED or entry.actor != ENGINE


def ending(outcome: RunSummary) -> str:
    """Return how the run ended, or its last activity if it was left unfinished."""
    last = next((x.event for x in reversed(outcome.entries) if isinstance(x.event, e.RunFinished | e.RunFailed)), None)
    match outcome.state.activity, last:
        case Activity.FINISHED, e.RunFinished(reason=reason, seconds=seconds):
            return f"{escape_control(reason)} after {duration(seconds)}"
        case Activity.FAILED, e.RunFailed(error=error):
            return f"failed: {escape_control(error)}"
        case activity, _:
            return f"left while {activity.value}"


def _where(state: RunState) -> str:
    total = f" of {state.total_steps}" if state.total_steps else ""
    phase = f", phase {phase_title(state)}" if len(state.spec.phases) > 1 else ""
    device = escape_control(state.device) or "no device"
    epoch = f", in epoch {state.epoch + 1}" if state.spec.knows_data else ""
    return f"{state.step}{total} steps{epoch}{phase}, lr {rate(state.lr)}, on {device}"


def _reached(outcome: RunSummary) -> str:
    state, best = outcome.state, outcome.best
    parts = [f"last loss {number(state.loss)}", f"gradient norm {number(state.grad_norm)}"]
    title = escape_control(state.spec.score_title)
    if best is not None:
        parts += [f"{title} {number(state.score)}", f"best {decimal(best.score, 4)} at step {best.step}"]
    elif title:
        parts.append(f"no best {title} yet")
    return ", ".join(parts)


def _time(time: tuple[StepTime, str] | None) -> Iterator[Text]:
    """Yield how the time of the newest steps is divided, and the verdict, if it was measured."""
    if time is not None:
        yield Text(f"  {divided(time[0])}")
        yield Text(f"  {time[1]}")


def _terms(outcome: RunSummary) -> Iterator[Text]:
    known = [term for term in outcome.state.spec.term_names if term in outcome.terms]
    if known:
        yield Text(f"  {'loss term':<16}{'last':>10}{'chance':>10}{'weight':>10}", "dim")
    for term in known:
        value, chance = outcome.terms[term], outcome.chance.get(term)
        line = Text(f"  {term:<16}")
        line.append(f"{number(value):>10}", loss_style(value, chance))
        line.append(f"{number(chance):>10}{number(outcome.state.loss_weights.get(term)):>10}")
        yield line


def _knobs(state: RunState) -> Iterator[Text]:
    """Yield a line of the knobs with their values, if there are any."""
    if state.knobs:
        said = ", ".join(f"{name} {knob_text(knob.value)}" for name, knob in state.knobs.items())
        yield Text(f"  {escape_control(f'knobs: {said}')}")


def _troubles(outcome: RunSummary) -> Iterator[Text]:
    """Yield a line for each kind of trouble that occurred."""
    state = outcome.state
    skipped = [entry for entry in outcome.entries if isinstance(entry.event, e.StepSkipped)]
    if skipped:
        shown = ", ".join(str(entry.step) for entry in skipped[:_MAX_LISTED])
        more = f" and {len(skipped) - _MAX_LISTED} more" if len(skipped) > _MAX_LISTED else ""
        yield Text(f"  steps skipped because they were not finite: {len(skipped)} (at step {shown}{more})", "bold red")
    if state.clamp_hits:
        yield Text(f"  losses clamped: {state.clamp_hits} times", "yellow")
    if state.rejected_samples:
        yield Text(f"  files that could not be used: {state.rejected_samples}", "yellow")


def _listed(title: str, lines: list[Text]) -> Iterator[Text]:
    if lines:
        yield Text(f"  {title}: {len(lines)}")
    if len(lines) > _MAX_LISTED:
        yield Text(f"    ... {len(lines) - _MAX_LISTED} earlier ones: {program_name()} events")
    for line in lines[-_MAX_LISTED:]:
        yield Text("    ").append_text(line)


def _incident(incident: Incident) -> Text:
    first, last = incident.first_step, incident.last_step
    steps = f"step {first}" if first == last else f"steps {first}-{last}"
    return Text(f"{incident.number}  {steps}  {incident_line(incident)}", "bold red")


def way_on(outcome: RunSummary) -> Iterable[str]:
    """Return the last checkpoint and the command that continues from it."""
    state, attached = outcome.state, outcome.attached
    if not state.last_checkpoint and (attached is None or attached.resume):
        yield "no checkpoint was written: the run cannot be resumed"
    if not state.last_checkpoint:
        return
    is_elsewhere = attached is not None and "/" in state.last_checkpoint  # a path in the directory of a trainer
    path = state.last_checkpoint if is_elsewhere else str(outcome.run_dir / CHECKPOINTS / state.last_checkpoint)
    yield f"last checkpoint: {escape_control(path)}"
    if attached is None:
        more = " (give more --epochs or --max-steps)" if 0 < state.total_steps <= state.step else ""
        yield f"to go on: {escape_control(resume_command(outcome.run_dir))}{more}"
    elif attached.resume:
        yield f"to go on: {escape_control(attached.resume)}"

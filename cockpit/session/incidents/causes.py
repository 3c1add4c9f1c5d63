"""What was steered or configured out of the ordinary, and which of it is the likely cause of a trouble. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cockpit.text.format import escape_control, number, rate
from engine.journal.reader import Entry
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.engine_events import Departure
from engine.protocol.record import record
from engine.protocol.state import knob_text

RECENT_STEPS: Final = 300
"""So long a change that a run gets used to is held to be the cause of what follows."""
_MUCH: Final = 3.0
"""A value so many times what it was, or was configured as, is out of the ordinary."""
_FAR: Final = 10.0
"""A learning rate so many times the usual one comes before any change since."""
_LEARNING_RATE: Final = "training.learning_rate"
_WARM_UP: Final = "training.warmup_epochs"


@record
class Cause:
    """`key` tells one cause from another: two alerts with the same one belong together. `text` is printable.

    `undo` takes the cause back, None where no command does.
    """

    key: str
    text: str
    undo: Command | None = None


class Causes:
    """Takes in what a journal says, oldest first, and names the likely cause of an instability at any step.

    Steering that makes a run less stable is remembered; what makes it calmer is no cause.
    """

    def __init__(self) -> None:
        self._configured: tuple[Cause, ...] = ()
        self._usual_lr = 0.0
        self._lr: Cause | None = None
        self._ratio = 1.0
        self._standing: dict[str, tuple[float, Cause | None]] = {}
        self._recent: list[tuple[int, Cause]] = []

    def of(self, step: int) -> Cause | None:
        """Return the likely cause at `step`, `None` if nothing is unusual.

        The order is: a rate far too high, the newest change, values raised by hand, the rest of the configuration.
        """
        changes = (cause for at, cause in reversed(self._recent) if at <= step <= at + RECENT_STEPS)
        standing = (cause for _, cause in self._standing.values())
        configured = (cause for cause in self._configured if _WARM_UP not in cause.key or step <= RECENT_STEPS)
        far = self._lr if self._ratio >= _FAR else None
        ranked = (far, *changes, self._lr, *standing, *configured)
        return next((cause for cause in ranked if cause is not None), None)

    def add(self, entry: Entry) -> None:
        """Add an entry."""
        match entry.event:
            case e.RunStarted() as started:
                self._begin(started)
            case e.LrSet(before=before, after=after) | e.LrScaled(before=before, after=after):
                self._note_rate(entry, before, after)
            case e.GradientClipSet(before=before, after=after):
                self._note_raised(entry, "the gradient clip", before, after)
            case e.LossWeightSet(term=term, before=before, after=after):
                self._note_raised(entry, f"the weight of {escape_control(term)}", before, after)
            case e.RolledBack(after=after):
                self._recent = [(step, cause) for step, cause in self._recent if step <= after]
            case event:
                for what, undo in _changes(event):
                    cause = Cause(f"{what} {entry.id}", f"{what} {_by(entry)}", undo)
                    self._recent = [*self._recent[-20:], (entry.step, cause)]

    def _begin(self, started: e.RunStarted) -> None:
        """Take the configured values of a process that starts or resumes the run; earlier interventions stay."""
        if not started.resumed_from:
            self._lr, self._ratio, self._standing, self._recent = None, 1.0, {}, []
        self._configured = tuple(_configured(x) for x in started.unusual if x.key != _LEARNING_RATE)
        self._usual_lr = started.learning_rate
        for departure in (x for x in started.unusual if x.key == _LEARNING_RATE):
            self._usual_lr, ratio = _real(departure.usual), _ratio(departure.value, departure.usual)
            if ratio >= _MUCH:
                self._lr, self._ratio = _configured(departure), ratio

    def _note_rate(self, entry: Entry, before: float, after: float) -> None:
        """Above the usual rate it is the cause until it is lowered; a jump counts where that is not known."""
        usual = self._usual_lr or before
        self._ratio = after / usual if usual > 0 else 1.0
        if self._ratio < _MUCH:
            self._lr = None
            return
        text = f"learning rate {rate(after)}, {number(self._ratio, 3)} times the usual {rate(usual)} {_by(entry)}"
        key = self._lr.key if self._lr is not None else f"learning rate {entry.id}"
        self._lr = Cause(key, text, c.SetLr(usual))

    def _note_raised(self, entry: Entry, what: str, before: float, after: float) -> None:
        """Return a bound or weight far above its value before the first intervention."""
        usual, known = self._standing.get(what, (before, None))
        cause = None
        if after >= _MUCH * usual and after > 0:
            text = f"{what} raised from {number(usual)} to {number(after)} {_by(entry)}"
            term = entry.event.term if isinstance(entry.event, e.LossWeightSet) else ""
            undo = c.SetLossWeight(term, usual) if term else c.SetGradientClip(usual)
            cause = Cause(known.key if known is not None else f"{what} {entry.id}", text, undo)
        self._standing[what] = (usual, cause)


def _changes(event: e.Event) -> Iterator[tuple[str, Command]]:
    """Return the disturbance that `event` caused, and the command that reverses it."""
    match event:
        case e.BatchSizeSet(before=before, after=after) if after < before:
            yield f"batch size {after} instead of {before}", c.SetBatchSize(before)
        case e.AccumulationSet(before=before, after=after) if after < before:
            yield f"accumulation {after} instead of {before}", c.SetAccumulation(before)
        case e.OptimizerSet(before=former, after=name):
            yield f"optimizer {escape_control(name)} instead of {escape_control(former)}", c.SetOptimizer(former)
        case e.KnobSet(name=name, before=before, after=after):
            yield escape_control(f"{name} {knob_text(after)} instead of {knob_text(before)}"), c.SetKnob(name, before)
        case e.PhasePromoted(after=after, enabled=enabled):
            yield (
                f"promotion to phase {after}, {escape_control(', '.join(enabled)) or 'nothing new'} on",
                c.DemotePhase(),
            )
        case e.RefinementEnabled(name=name):
            yield f"{escape_control(name)} switched on", c.DisableRefinement(name)
        case _:
            return


def _configured(departure: Departure) -> Cause:
    """Return a value of the initial configuration."""
    key, value, usual = departure.key, escape_control(departure.value), escape_control(departure.usual)
    name, ratio = key.rpartition(".")[2].replace("_", " "), _ratio(value, usual)
    times = f"{number(ratio, 3)} times the {usual} of its config" if ratio >= 2 else f"{usual} in its config"
    return Cause(f"configured {key} {value}", f"{name} {value}, {times}", _undo(key, usual))


def _undo(key: str, usual: str) -> Command | None:
    """Return the command that sets a config key to its usual value."""
    section, _, name = key.rpartition(".")
    value = _real(usual)
    if section == "loss.weights":
        return c.SetLossWeight(name, value)
    if usual == "False":  # of the keys that a departure names, only the switches of components are on or off
        return c.DisableRefinement(name)
    match key:
        case "training.learning_rate":
            return c.SetLr(value)
        case "training.gradient_clip":
            return c.SetGradientClip(value)
        case "training.batch_size":
            return c.SetBatchSize(round(value))
        case "training.accumulation":
            return c.SetAccumulation(round(value))
        case "training.optimizer":
            return c.SetOptimizer(usual)
        case _:
            return None


def _ratio(value: str, usual: str) -> float:
    below = _real(usual)
    return _real(value) / below if below > 0 else 0.0


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _by(entry: Entry) -> str:
    return f"(step {entry.step}, {escape_control(entry.actor)})"

"""The entry that describes one kind of event to every part of the cockpit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, IntEnum
from typing import Any, Final, Generic, TypeVar

from engine.protocol.commands import Command
from engine.protocol.record import record
from engine.protocol.task_spec import TaskSpec

E = TypeVar("E")

COMPONENTS: Final = "components"
"""Placeholder for the config section that switches components: its name differs by task."""

KNOBS: Final = "knobs"
"""The section of the settings that the training's own code declared; no config has it."""

LOSS_WEIGHTS: Final = "loss.weights"
"""The section of the config with a weight for each loss term."""

NOT_FINITE: Final = "not finite"
"""The kind of trouble of every event about a non-finite step."""

UNSTABLE: Final = "unstable"
"""The family of troubles of a training that diverges."""


class Severity(Enum):
    """How much an event matters to a reader of the run."""

    SILENT = "shown elsewhere, or followed by an event with more detail"
    PROGRESS = "normal progress of the run"
    INTERVENTION = "a command changed the run, or was refused"
    RESULT = "a result, such as a validation"
    ALERT = "needs the attention of a person"


class MarkKind(IntEnum):
    """The kind of an event's mark on the charts; in a shared column the greatest is drawn."""

    CHECKPOINT = 0
    NOTE = 1
    INTERVENTION = 2
    PHASE = 3
    ROLLBACK = 4
    ALERT = 5

    @property
    def is_change(self) -> bool:
        """Whether the marked event changed the training."""
        return self in (MarkKind.INTERVENTION, MarkKind.PHASE, MarkKind.ROLLBACK)


@record
class SettingChange:
    """One setting that an event changed: its config section (empty for none), its name, its values, and their text.

    The section of a switch of a component is `COMPONENTS`: each task names its own.
    """

    section: str
    name: str
    before: Any
    after: Any
    show: Callable[[Any], str] = str

    @property
    def was(self) -> str:
        """Return the text of the value before."""
        return self.show(self.before)

    @property
    def now(self) -> str:
        """Return the text of the value after."""
        return self.show(self.after)


@record
class Inverse:
    """The command that reverses an event; `caution` names the part that it cannot restore."""

    command: Command
    caution: str = ""


@record
class Trouble:
    """An event as part of an incident: its kind, and the family of kinds that share a cause.

    `place` is the module or loss term that it names, empty for none. `at_step` is 0 for the step of its entry.
    """

    kind: str
    family: str
    place: str = ""
    at_step: int = 0


@record
class EventInfo(Generic[E]):
    """The registry entry of the event class `kind`; text may contain control characters.

    `text` is the sentence of every list. `short` is the change alone, for keys and dialogs. `request` words the command
    that the event answered, such as 'lower LR'. Both are `None` if `text` serves. `mark` is `None` for no mark on the
    charts. `undo` returns the inverse or the reason why there is none; it is `None` for an event that changes nothing
    in the training. An event with `trouble` opens an incident or joins one. Of a kind with `is_frequent` the console
    prints a sample. An event with `is_end` ends the run.
    """

    kind: type[E]
    text: Callable[[E, TaskSpec], str]
    short: Callable[[E], str] | None = None
    request: Callable[[E], str] | None = None
    severity: Severity = Severity.INTERVENTION
    mark: MarkKind | None = None
    changes: Callable[[E], Iterable[SettingChange]] | None = None
    undo: Callable[[E], Inverse | str] | None = None
    trouble: Callable[[E], Trouble] | None = None
    is_frequent: bool = False
    is_end: bool = False


AnyEventInfo = EventInfo[Any]
"""An entry of any event class: a table of them has no common event type."""

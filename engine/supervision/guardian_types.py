"""Input, memory and output of the guardian."""

from __future__ import annotations

from engine.protocol.commands import Command
from engine.protocol.events import FaultNamed
from engine.protocol.record import record


@record
class StepObservation:
    """One step, its number from 1.

    `sound` is False if weights or moments are not finite, so that later steps fail too. `excused` is True for an
    overflow from fp16 loss scaling, which recovers by itself. `spiked` and `steep` are the monitors' findings of a
    spike and of norms that stay over their bound. `reason` describes the non-finite values.
    """

    number: int
    finite: bool
    sound: bool = True
    excused: bool = False
    terms: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    sample_ids: tuple[str, ...] = ()
    reason: str = ""
    fault: FaultNamed | None = None
    spiked: bool = False
    steep: bool = False


@record
class BadStep:
    """A non-finite step and its samples."""

    number: int
    sample_ids: tuple[str, ...]


@record
class GuardianState:
    """Memory of the guardian. A checkpoint contains it; a rollback keeps it.

    `bad` and `spikes` are from after its last action; `before` are the bad steps that caused the last rollback.
    `attempts` counts recoveries in this stretch, `farthest` is the last step of them. `refinement` is to blame for the
    newest diagnosed fault, or an empty string; `place` describes its origin. Not every bad step is replayed, so the
    last finding is kept.
    """

    bad: tuple[BadStep, ...] = ()
    before: tuple[BadStep, ...] = ()
    spikes: tuple[int, ...] = ()
    attempts: int = 0
    farthest: int = 0
    refinement: str = ""
    place: str = ""


@record
class Decision:
    """Commands of the guardian in their order, or giving up with a diagnosis, and the reason.

    `probation` is True or False if a probation ends passed or failed, `None` if it does not end.
    """

    reason: str = ""
    commands: tuple[Command, ...] = ()
    give_up: str = ""
    probation: bool | None = None


NOTHING = Decision()

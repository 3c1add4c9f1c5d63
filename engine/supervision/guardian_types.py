"""What the guardian is shown of each step, what it remembers, and what it wants done."""

from __future__ import annotations

from dataclasses import dataclass

from engine.protocol.commands import Command
from engine.protocol.events import FaultNamed


@dataclass(frozen=True, slots=True)
class StepObservation:
    """One step, its number from 1.

    `sound` is False where weights or moments are not finite, so that no later step can be; `excused` is True for an
    overflow that the loss scaling of fp16 provokes and mends by itself; `spiked` and `steep` say that the watch saw a
    spike, or gradient norms that stay over their bound. `reason` says in words what was not finite.
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


@dataclass(frozen=True, slots=True)
class BadStep:
    """A step that was not finite, and the samples in it."""

    number: int
    sample_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GuardianState:
    """What it knows of the steps before. A checkpoint holds it; a rollback leaves it as it is.

    `bad` and `spikes` since it last acted; `before` the bad steps that led to the last rollback; `attempts` to mend the
    run in this stretch; `farthest` the last step of them; `refinement` to blame for the newest fault that was named, ''
    for none, and `place` where it began, in words. A replay is not made of every bad step: what it found is kept.
    """

    bad: tuple[BadStep, ...] = ()
    before: tuple[BadStep, ...] = ()
    spikes: tuple[int, ...] = ()
    attempts: int = 0
    farthest: int = 0
    refinement: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the guardian wants, and why: commands in their order, or to give up with a diagnosis.

    `probation` is True or False where it ends passed or failed, None where it does not end.
    """

    reason: str = ""
    commands: tuple[Command, ...] = ()
    give_up: str = ""
    probation: bool | None = None


NOTHING = Decision()

"""Parse commands on a command line or in a script: `lower-lr 0.5`, `set-clip 1`, `note looks good`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from types import MappingProxyType
from typing import Final

from engine.errors import UserError, did_you_mean
from engine.protocol import commands as c
from engine.protocol.commands import Command, KnobValue
from engine.protocol.record import record

INSTALLED_COMMAND: Final = "training-cockpit"


def program_name() -> str:
    """Return how this process was started: `training-cockpit` if by the installed command, else `main.py`."""
    return INSTALLED_COMMAND if PurePath(sys.argv[0]).name == INSTALLED_COMMAND else "main.py"


@record
class Word:
    """The syntax of a command: its arguments, a summary, and the conversion of arguments to the command."""

    arguments: str
    summary: str
    read: Callable[[list[str]], Command]


def parse_command(words: Sequence[str]) -> Command:
    """Return the command that `words` spell, its name first.

    Raises UserError with the nearest match for an unknown name, and with the usage for wrong arguments.
    """
    if not words:
        raise UserError(f"a command is missing: give one of {', '.join(COMMAND_WORDS)}")
    name, arguments = words[0], list(words[1:])
    word = COMMAND_WORDS.get(name)
    if word is None:
        raise UserError(f"no command is called {name!r}: {did_you_mean(name, COMMAND_WORDS)}")
    try:
        return word.read(arguments)
    except (ValueError, IndexError) as error:
        detail = f" ({error})" if isinstance(error, UserError) else ""
        raise UserError(f"cannot read {' '.join(words)!r}{detail}: write {usage(name)!r}") from None


def usage(name: str) -> str:
    """Return the syntax of the command `name`, such as 'set-weight TERM VALUE'."""
    return f"{name} {COMMAND_WORDS[name].arguments}".strip()


def _none(kind: Callable[[], Command]) -> Callable[[list[str]], Command]:
    def read(arguments: list[str]) -> Command:
        _at_most(arguments, 0)
        return kind()

    return read


def _one(kind: Callable[[str], Command]) -> Callable[[list[str]], Command]:
    def read(arguments: list[str]) -> Command:
        _at_most(arguments, 1)
        return kind(arguments[0])

    return read


def _number(kind: Callable[[float], Command]) -> Callable[[list[str]], Command]:
    return _one(lambda text: kind(float(text)))


def _count(kind: Callable[[int], Command]) -> Callable[[list[str]], Command]:
    return _one(lambda text: kind(int(text)))


def _component(kind: Callable[[str], Command]) -> Callable[[list[str]], Command]:
    return _one(lambda text: kind(text.replace("-", "_")))


def _at_most(arguments: list[str], most: int) -> None:
    if len(arguments) > most:
        raise UserError(f"{arguments[most]!r} is one argument too many")


def _step(arguments: list[str]) -> Command:
    return _count(c.RunSteps)(arguments or ["1"])


def _lower_lr(arguments: list[str]) -> Command:
    _at_most(arguments, 1)
    factor = float(arguments[0]) if arguments else 0.5
    if not factor < 1:
        raise UserError("the factor that lowers must be below 1")
    return c.ScaleLr(factor)


def _raise_lr(arguments: list[str]) -> Command:
    _at_most(arguments, 1)
    factor = float(arguments[0]) if arguments else 2.0
    if not factor > 1:
        raise UserError("the factor that raises must be above 1")
    return c.ScaleLr(factor)


def _clip(arguments: list[str]) -> Command:
    return _number(c.SetGradientClip)(["inf"] if arguments == ["off"] else arguments)


def _promote(arguments: list[str]) -> Command:
    if arguments not in ([], ["--force"]):
        raise UserError(f"{arguments[0]!r} is not --force")
    return c.PromotePhase(force=bool(arguments))


def _weight(arguments: list[str]) -> Command:
    _at_most(arguments, 2)
    return c.SetLossWeight(term=arguments[0].replace("-", "_"), value=float(arguments[1]))


def _rollback(arguments: list[str]) -> Command:
    return _one(c.Rollback)(arguments or [""])


def _note(arguments: list[str]) -> Command:
    return c.AddNote(" ".join(arguments))


def _switch(kind: Callable[[bool], Command]) -> Callable[[list[str]], Command]:
    def read(arguments: list[str]) -> Command:
        _at_most(arguments, 1)
        if arguments[0] not in ("on", "off"):
            raise UserError(f"{arguments[0]!r} is neither on nor off")
        return kind(arguments[0] == "on")

    return read


def _exclude(arguments: list[str]) -> Command:
    if not arguments:
        raise UserError("no sample is named")
    return c.ExcludeSamples(tuple(arguments))


def _knob(arguments: list[str]) -> Command:
    return c.SetKnob(arguments[0], knob_value(" ".join([arguments[1], *arguments[2:]])))


def knob_value(text: str) -> KnobValue:
    """Return the finite number or the truth value that `text` spells, else the text."""
    if text in ("true", "false", "on", "off"):
        return text in ("true", "on")
    for kind in (int, float):
        with suppress(ValueError, OverflowError):
            value = kind(text)
            if math.isfinite(value):
                return value
    return text


def _stop(arguments: list[str]) -> Command:
    return c.Stop(" ".join(arguments)) if arguments else c.Stop()


COMMAND_WORDS: Final[Mapping[str, Word]] = MappingProxyType(
    {
        "pause": Word("", "stop at the next step boundary, keep everything in memory", _none(c.Pause)),
        "resume": Word("", "continue after a pause", _none(c.Resume)),
        "step": Word("[N]", "run exactly N more steps (1), then pause", _step),
        "lower-lr": Word("[FACTOR]", "multiply the learning rate by FACTOR below 1 (0.5)", _lower_lr),
        "raise-lr": Word("[FACTOR]", "multiply the learning rate by FACTOR above 1 (2)", _raise_lr),
        "set-lr": Word("VALUE", "set the learning rate to VALUE now; warm-up is over", _number(c.SetLr)),
        "promote": Word("[--force]", "enter the next phase; --force despite a failed check", _promote),
        "demote": Word("", "return to the previous phase", _none(c.DemotePhase)),
        "enable": Word("COMPONENT", "switch a component of the task on", _component(c.EnableRefinement)),
        "disable": Word("COMPONENT", "switch a component of the task off", _component(c.DisableRefinement)),
        "set-weight": Word("TERM VALUE", "give a loss term another weight", _weight),
        "set-clip": Word(
            "VALUE", "clip the global gradient norm at VALUE; off in a training of your own ends it", _clip
        ),
        "set-accumulation": Word("N", "accumulate gradients over N batches per update", _count(c.SetAccumulation)),
        "set-batch-size": Word("N", "draw N samples per batch", _count(c.SetBatchSize)),
        "set-optimizer": Word("NAME", "switch to adam or adamw; the moments are kept", _one(c.SetOptimizer)),
        "checkpoint": Word("", "write a checkpoint now", _none(c.SaveCheckpoint)),
        "rollback": Word(
            "[CHECKPOINT]", "load a checkpoint of this run: a file, a step, best or last-good (default)", _rollback
        ),
        "validate": Word("", "run a validation now", _none(c.Validate)),
        "histogram": Word(
            "LAYER", "take histograms of a module or parameter at the next step, such as unet", _one(c.TakeHistogram)
        ),
        "note": Word("TEXT", "write a note to the journal", _note),
        "guardian": Word("SWITCH", "on: the guardian acts on faults; off: it only warns", _switch(c.SetGuardian)),
        "autopilot": Word(
            "SWITCH", "on: the autopilot promotes by the gates; off: it does not", _switch(c.SetAutopilot)
        ),
        "exclude": Word("SAMPLE ...", "exclude these samples from training", _exclude),
        "set-knob": Word("NAME VALUE", "set a knob of the training's own code: a number, on, off or a choice", _knob),
        "stop": Word("[REASON]", "finish the step, write a checkpoint, end the run", _stop),
    }
)
"""Every command word, in the order of the help text."""

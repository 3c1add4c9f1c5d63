"""Parse arguments with argparse; a mistake gives one sentence with the nearest match and exit code 2."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, NoReturn

from engine.errors import UserError, did_you_mean
from engine.protocol.words.command_syntax import program_name
from engine.runtime.host.time_limit import parse_seconds

_MOST: Final = 2**53
"""The largest number of steps or samples: above it, floats are not exact."""
_SHOWN: Final = 40
"""Maximum characters of a wrong value in its error message."""

# The signatures of argparse do not type parsed values and keyword arguments: hence Any.


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations that reports a misspelt option or command with its nearest match."""

    def __init__(self, **settings: Any):
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    # argparse overloads this method on the namespace's type, which an override cannot repeat.
    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """Parse like argparse, but report an unknown option with the parser to which it belongs."""
        words = sys.argv[1:] if args is None else list(args)
        for word in takewhile(self._is_own, words):
            if word.startswith("--") and word.partition("=")[0] not in self._option_string_actions:
                self._explain(word)
        found, extra = super().parse_known_args(words, namespace)
        if extra:
            self._explain(extra[0])
        return found, extra

    def error(self, message: str) -> NoReturn:
        """Print the mistake in one sentence and exit with code 2."""
        self.exit(2, f"{self.prog}: {_with_nearest(message)} (see {self.prog} --help)\n")

    def print_help(self, file: Any = None) -> None:
        """Print the help. Raises OSError, which argparse would hide, if nothing can be written."""
        print(self.format_help(), end="", file=file)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exit like argparse, with everything written. Raises OSError if that fails."""
        if not status:
            sys.stdout.flush()
        super().exit(status, message)

    def _is_own(self, word: str) -> bool:
        """Return whether `word` belongs to this parser, and not to a subcommand or behind `--`."""
        commands = (action.choices for action in self._actions if isinstance(action.choices, dict))
        return word != "--" and not any(word in names for names in commands)

    def _explain(self, extra: str) -> NoReturn:
        if not extra.startswith("-"):
            self.error(f"{extra!r} is one word too many")
        name = extra.partition("=")[0]
        known = [option for option in self._option_string_actions if option.startswith("--")]
        self.error(f"there is no option {name}: {did_you_mean(name, known)}")


def first_word(arguments: Sequence[str]) -> str:
    """Return the first argument if it is not an option, else an empty string."""
    return arguments[0] if arguments and not arguments[0].startswith("-") else ""


def examples(text: str) -> str:
    """Return examples as the user would type them, whichever way the program was started."""
    return text.replace("main.py", program_name())


def subcommand(commands: Any, name: str, summary: str) -> Parser:
    """Add a subcommand with its summary as help and description."""
    parser: Parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    return parser


def reader(commands: Any, name: str, summary: str) -> Parser:
    """Add a subcommand that takes a run, the latest if none is named."""
    parser = subcommand(commands, name, summary)
    parser.add_argument("run", nargs="?", default="latest", metavar="RUN", help="a run's name, a path, or latest")
    add_runs_dir(parser, argparse.SUPPRESS)
    return parser


def add_runs_dir(parser: argparse._ActionsContainer, default: object) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add `--runs-dir` to a parser or to a group of options."""
    parser.add_argument("--runs-dir", type=Path, default=default, metavar="DIR", help="directory of all runs (runs/)")


def check_needed(arguments: argparse.Namespace, option: str, needed: str) -> None:
    """Raise UserError if `option` was given without the option `needed`, without which it has no effect."""
    if getattr(arguments, _attribute(option)) is not None and getattr(arguments, _attribute(needed)) in (None, False):
        raise UserError(f"{option} has no effect without {needed}: add {needed}, or leave out {option}")


def _attribute(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _with_nearest(message: str) -> str:
    """Return the message of argparse, with the nearest choice in place of all choices."""
    found = re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message, re.DOTALL)
    if found is None:
        return message
    what, word, listed = found.groups()
    choices = [choice.strip(" '") for choice in listed.split(",")]
    if what.startswith("-"):
        return f"{what} cannot be {word!r}: there are {', '.join(choices)}"
    return f"there is no {what.lower()} {word!r}: {did_you_mean(word, choices)}"


def count(text: str) -> int:
    """Return a whole number. Raises ArgumentTypeError for anything else, or if it is too large."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} is not a whole number") from None
    if abs(number) > _MOST:
        raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} is too large a number: at most {_MOST}")
    return number


def natural(text: str) -> int:
    """Return a whole number of at least 0. Raises ArgumentTypeError."""
    number = count(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below 0")
    return number


def positive_count(text: str) -> int:
    """Return a whole number of at least 1. Raises ArgumentTypeError."""
    number = count(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not at least 1")
    return number


def setting(text: str) -> str:
    """Return a text of the form KEY=VALUE. Raises ArgumentTypeError."""
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} has no value; write KEY=VALUE, like training.epochs=5")
    return text


def key_list(text: str) -> tuple[str, ...]:
    """Return the names that are separated by commas, each once."""
    return tuple(dict.fromkeys(key.strip() for key in text.split(",") if key.strip()))


def time_text(text: str) -> str:
    """Return a time limit as it was given. Raises ArgumentTypeError for anything else than a time or "none"."""
    if not text or text.strip().lower() == "none":  # argparse converts the default as well
        return text
    try:
        parse_seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def real_number(text: str) -> float:
    """Return a number. Raises ArgumentTypeError for anything else, NaN included."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} is not a number")
    return value


def seconds(text: str) -> float:
    """Return a number of at least 0. Raises ArgumentTypeError for anything else, NaN included."""
    value = real_number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} is below 0: give a number of seconds")
    return value

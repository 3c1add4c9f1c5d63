"""Parse arguments with argparse; a mistake gives one sentence with the nearest match and exit code 2."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NoReturn

from engine.errors import did_you_mean

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

"""argparse with one sentence for a mistake: what is wrong and the nearest match, exit code 2."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NoReturn

from engine.errors import did_you_mean

# argparse's own signatures leave the types of parsed values and of keyword arguments open: hence Any.


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations and answers a misspelt option or command with its nearest match."""

    def __init__(self, **settings: Any):
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    # argparse overloads this on the namespace's type, which no override can repeat.
    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """As argparse does, except that an unknown option is an error of the parser that should have known it."""
        words = sys.argv[1:] if args is None else list(args)
        for word in takewhile(self._is_own, words):
            if word.startswith("--") and word.partition("=")[0] not in self._option_string_actions:
                self._explain(word)
        found, extra = super().parse_known_args(words, namespace)
        if extra:
            self._explain(extra[0])
        return found, extra

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one sentence and leave with code 2."""
        self.exit(2, f"{self.prog}: {_with_nearest(message)} (see {self.prog} --help)\n")

    def _is_own(self, word: str) -> bool:
        """False from the first word on that belongs to a subcommand, or to nobody."""
        commands = (action.choices for action in self._actions if isinstance(action.choices, dict))
        return word != "--" and not any(word in names for names in commands)

    def _explain(self, extra: str) -> NoReturn:
        if not extra.startswith("-"):
            self.error(f"{extra!r} is one word too many")
        name = extra.partition("=")[0]
        known = [option for option in self._option_string_actions if option.startswith("--")]
        self.error(f"there is no option {name}: {did_you_mean(name, known)}")


def first_word(arguments: Sequence[str]) -> str:
    """The first argument when it is no option, else ''."""
    return arguments[0] if arguments and not arguments[0].startswith("-") else ""


def _with_nearest(message: str) -> str:
    """argparse's complaint about a choice, with the nearest choice in place of all of them."""
    found = re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message, re.DOTALL)
    if found is None:
        return message
    what, word, listed = found.groups()
    choices = [choice.strip(" '") for choice in listed.split(",")]
    if what.startswith("-"):
        return f"{what} cannot be {word!r}: there are {', '.join(choices)}"
    return f"there is no {what.lower()} {word!r}: {did_you_mean(word, choices)}"

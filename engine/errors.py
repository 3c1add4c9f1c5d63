"""The exception for user mistakes, exceptions in words, suggestions for misspelt names, and the undoing of work."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Final

_MOST_CHOICES: Final = 40
"""A longer list hides the sentence that it ends."""


class UserError(ValueError):
    """A mistake in a configuration, an option or the data.

    Its message is one sentence: the problem, its location and the remedy. `main.py` prints it and exits with code 2.
    Every other exception is a bug and is raised.
    """


def in_words(error: BaseException) -> str:
    """Return the class of `error`, its message, if it has one: a bare `assert` has none, and its notes of one line."""
    name, message = type(error).__name__, str(error)
    notes = "".join(f", {note}" for note in getattr(error, "__notes__", ()) if "\n" not in note)
    return f"{name}: {message}{notes}" if message else f"{name}{notes}"


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return the choice closest to `word`: the only one that contains it, else the closest spelling.

    Return an empty string if no choice is close.
    """
    known = sorted(set(choices))
    holding = [choice for choice in known if len(word) > 2 and word.lower() in choice.lower()]
    if len(holding) == 1:
        return holding[0]
    return next(iter(get_close_matches(word, known, n=1, cutoff=0.6)), "")


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return the end of a sentence that suggests the nearest choice, or lists the choices if none is near."""
    known = sorted(set(choices))
    if match := nearest(word, known):
        return f"did you mean {match!r}?"
    more = f" and {len(known) - _MOST_CHOICES} more" if len(known) > _MOST_CHOICES else ""
    return f"there are {', '.join(known[:_MOST_CHOICES]) or 'none'}{more}"


@contextmanager
def undone_by_error(undo: Callable[[], object]) -> Generator[None]:
    """Call `undo` if an error of any class, or an interrupt, ends the block; it is raised again."""
    try:
        yield
    except BaseException:
        undo()
        raise

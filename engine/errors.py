"""The one exception that means the user, not the program, has something to mend, and the nearest match it may name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """A mistake in a config, an option or the data: one sentence that says what is wrong, where, and how to mend it.

    `main.py` prints the sentence and exits with code 2; every other exception is a fault of the program and is raised.
    """


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice that `word` most likely stood for, or '': the only one that holds it, else the closest spelling."""
    known = sorted(set(choices))
    holding = [choice for choice in known if len(word) > 2 and word.lower() in choice.lower()]
    if len(holding) == 1:
        return holding[0]
    return next(iter(get_close_matches(word, known, n=1, cutoff=0.6)), "")


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The end of a sentence that names the nearest choice, or all of them where none is near."""
    known = sorted(set(choices))
    match = nearest(word, known)
    return f"did you mean {match!r}?" if match else f"there are {', '.join(known) or 'none'}"

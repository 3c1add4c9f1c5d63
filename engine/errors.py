"""The one exception that means the user, not the program, has something to mend."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in a config, an option or the data: one sentence that says what is wrong, where, and how to mend it.

    `main.py` prints the sentence and exits with code 2; every other exception is a fault of the program and is raised.
    """

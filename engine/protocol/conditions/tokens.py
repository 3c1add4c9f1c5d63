"""Split the text of a condition into its tokens."""

from __future__ import annotations

import re
from typing import Final

from engine.errors import UserError
from engine.protocol.record import record

_TOKEN: Final = re.compile(
    r"(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w./@]))"
    r"|(?P<name>[^\W\d][\w./@-]*)"
    r"|(?P<quoted>\"[^\"]*\"|'[^']*')"
    r"|(?P<sign><=|>=|==|!=|<|>)"
    r"|(?P<paren>[()])"
)
_INSTEAD: Final = {"=": "==", "&": "and", "|": "or", "!": "not"}
"""Signs of other languages, and the ones to write."""
EXAMPLE: Final = "write it like 'phase>=2 or nan>0'"


@record
class Token:
    """A token: its kind, which is a group of `_TOKEN` or "end", and its text."""

    kind: str
    text: str


END: Final = Token("end", "")


def tokens_of(text: str) -> list[Token]:
    """Split `text`. Raises UserError at the first letter that begins no token."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            raise UserError(f"{shown(text)}: {text[at]!r} is not understood: {_remedy(text[at])}")
        found.append(Token(str(match.lastgroup), match.group()))
        at = match.end()
    return found


def _remedy(letter: str) -> str:
    """Return how to write a condition that has `letter` in no place where it may be."""
    instead = _INSTEAD.get(letter)
    return f"write {instead!r}" if instead else EXAMPLE


def shown(text: str) -> str:
    """Return the condition `text` for an error message; of a long one its beginning."""
    return f"the condition {text if len(text) <= 80 else text[:76] + ' ...'!r}"

"""A screen says what failed in plain words; a library's words go to the log, once."""

from __future__ import annotations

import logging
import sqlite3

import pytest

from cockpit.session.following.troubles import Troubles
from engine.errors import UserError


def failed_look(cause: Exception) -> UserError:
    try:
        raise UserError(f"cannot read /runs/x/run.sqlite: {cause}") from cause
    except UserError as error:
        return error


@pytest.mark.parametrize(
    "cause",
    [sqlite3.OperationalError("no such table: state"), sqlite3.DatabaseError("malformed"), ValueError("buffer size")],
    ids=str,
)
def test_an_exception_of_a_library_is_not_for_the_screen(cause: Exception, caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            troubles.found.clear()
            troubles.add(failed_look(cause))
    assert troubles.found == ["the journal cannot be read, trying again"]
    assert [record.getMessage() for record in caplog.records] == [f"cannot read /runs/x/run.sqlite: {cause}"]


def test_a_sentence_for_people_is_said_as_it_is() -> None:
    troubles = Troubles()
    troubles.add(UserError("x is a journal of format 9, and this program reads format 4"))
    assert troubles.found == ["x is a journal of format 9, and this program reads format 4"]

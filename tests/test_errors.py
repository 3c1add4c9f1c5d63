"""The nearest match that every complaint about a name ends with, and what is undone if an error ends it."""

from __future__ import annotations

import pytest

from engine.errors import UserError, did_you_mean, in_words, nearest, undone_by_error


@pytest.mark.parametrize(
    ("word", "match"),
    [("promot", "promote"), ("PAUSE", "pause"), ("pasue", "pause"), ("oll", "rollback"), ("zzz", ""), ("", "")],
)
def test_the_nearest_choice_holds_the_word_or_is_spelt_alike(word, match):
    assert nearest(word, ["pause", "promote", "demote", "rollback"]) == match


def test_a_word_that_several_choices_hold_is_not_guessed_by_holding():
    assert nearest("mote", ["promote", "demote"]) in ("promote", "demote")
    assert nearest("refined", ["a_very_long_prefix_refined_one", "a_very_long_prefix_refined_two"]) == ""


def test_without_a_match_all_choices_are_named():
    assert did_you_mean("zzz", {"b", "a"}) == "there are a, b"
    assert did_you_mean("zzz", ()) == "there are none"
    assert did_you_mean("zzz", (f"run{number:02d}" for number in range(90))).endswith("run39 and 50 more")


def test_a_user_error_is_a_value_error():
    assert issubclass(UserError, ValueError)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_work_is_undone_if_an_error_ends_it_and_the_error_goes_on(error):
    undone = []
    with pytest.raises(error), undone_by_error(lambda: undone.append(1)):
        raise error
    assert undone == [1]


def test_work_that_succeeds_is_not_undone():
    undone = []
    with undone_by_error(lambda: undone.append(1)):
        pass
    assert undone == []


@pytest.mark.parametrize(("error", "words"), [(AssertionError(), "AssertionError"), (OSError("it: "), "OSError: it: ")])
def test_an_error_without_a_message_is_its_class(error, words):
    assert in_words(error) == words

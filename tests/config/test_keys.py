"""The keys in words: each has a name, a range and a meaning."""

from __future__ import annotations

import pytest

from engine.config.keys import config_keys, config_sections, shown
from engine.tasks.person.config import PersonConfig


def leaves(tree: dict[str, object], prefix: str = "") -> dict[str, object]:
    """The dotted name and the value of every leaf of a dumped config."""
    found: dict[str, object] = {}
    for name, value in tree.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def test_the_keys_are_the_leaves_of_the_tree_with_their_defaults():
    assert {name: key.default for name, key in config_keys(PersonConfig).items()} == leaves(
        PersonConfig().model_dump(mode="json")
    )


def test_every_key_says_in_a_sentence_what_it_means():
    vague = [key.name for key in config_keys(PersonConfig).values() if not key.meaning.endswith((".", ")"))]
    assert not vague


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("training.epochs", "a whole number of at least 1"),
        ("training.gradient_clip", "a number above 0"),
        ("training.learning_rate", "a number above 0 and at most 1"),
        ("training.seed", "a whole number from 0 to below 2147483648"),
        ("training.mixed_precision", "true or false"),
        ("training.optimizer", "one of adam, adamw"),
        ("training.threads", "a whole number from 0 to 1024, or auto"),
        ("model.roi_size", "a whole number from 16 to 512 in steps of 16"),
        ("model.extractor_widths", "a list of 2 to 8 whole numbers of at least 1"),
        ("loss.weights.dice", "a number of at least 0"),
        ("data.path", "text"),
    ],
)
def test_a_key_says_what_its_value_may_be(name, expected):
    assert config_keys(PersonConfig)[name].expected == expected


def test_sections_hold_their_sections_and_keys_in_the_tree_s_order():
    sections = config_sections(PersonConfig)
    assert sections[""] == tuple(PersonConfig.model_fields)
    assert sections["data.synthetic"] == ("num_train_scenes", "num_val_scenes", "image_size", "max_people")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        (3, "3"),
        ("a\nb", r"the text 'a\nb'"),
        ({"a": 1}, "a mapping"),
        ([1, "x"], "[1, 'x']"),
        pytest.param(10**5000, "a number of thousands of digits", id="huge"),
    ],
)
def test_a_value_is_quoted_on_one_line(value, text):
    assert shown(value) == text


def test_a_long_value_is_cut():
    assert len(shown("x" * 1000)) == 80

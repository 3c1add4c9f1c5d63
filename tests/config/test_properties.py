"""Properties of the YAML reader and of configurations over generated text and values."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.config.files.yaml_source import PlainDumper, PlainLoader, read_settings, read_value
from engine.config.files.yaml_text import dump_config
from engine.config.keys import config_keys
from engine.config.load import load_config, read_resolved, resolve_config
from engine.errors import UserError
from engine.tasks.person.config import PersonConfig

PROPERTY = settings(derandomize=True, deadline=None, max_examples=200)

PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | PRINTABLE
YAML_TEXT = st.text(st.sampled_from("ab1.:-_?,[]{}&*!|>'\"%@`#~= \n\t\x00é\ud800e+n"), max_size=40)
KEYS = sorted(name for name, key in config_keys(PersonConfig).items() if not key.is_text)


@PROPERTY
@given(SCALARS | st.lists(SCALARS, max_size=4))
@example("1e5")
@example("yes")
@example("null")
@example("0o17")
@example("2026-01-01")
@example("~")
@example("")
@example(1e-5)
@example(-0.0)
@example(math.inf)
def test_what_is_dumped_is_read_back_as_the_same_value(value: Any) -> None:
    text = yaml.dump(value, Dumper=PlainDumper, allow_unicode=True)
    read = yaml.load(text, PlainLoader)
    assert (read, type(read)) == (value, type(value))


@PROPERTY
@given(st.floats(min_value=1e-300, max_value=1e300))
@example(1e-5)
@example(0.00001)
def test_a_number_is_read_however_it_is_written(value: float) -> None:
    for text in (repr(value), f"{value:.17e}", f"{value:.17E}", f"{value:.17g}"):
        (setting,) = read_value(text, ("training", "learning_rate")).values()
        assert setting.value == value and isinstance(setting.value, float | int)


@settings(PROPERTY, max_examples=500)
@given(YAML_TEXT)
@example("a: &x [*x]")
@example("a: *x")
@example("!!python/object/apply:os.system [ls]")
@example("a: 1\na: 2")
@example("[" * 2000)
@example("\ta: 1")
def test_any_text_is_settings_or_one_sentence_that_names_the_file(text: str) -> None:
    try:
        found = read_settings(text, "mine.yaml")
    except UserError as error:
        assert str(error).startswith("mine.yaml") and "\n" not in str(error)
    else:
        assert all(setting.source == "mine.yaml" for setting in found.values())


@settings(PROPERTY, max_examples=100)
@given(st.sampled_from(KEYS), YAML_TEXT | SCALARS.map(str))
def test_any_override_is_taken_or_refused_in_one_sentence(key: str, text: str) -> None:
    try:
        resolved = resolve_config("tiny", [f"{key}={text}"])
    except UserError as error:
        assert str(error).startswith("command line") and "\n" not in str(error)
    else:
        assert isinstance(resolved.config, PersonConfig)


@settings(PROPERTY, max_examples=20)
@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 9) | st.floats(0.01, 0.99) | st.booleans()), max_size=5)
)
def test_a_resolved_configuration_is_read_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, overrides: list[tuple[str, Any]]
) -> None:
    config = load_config("tiny")
    with suppress(UserError):
        config = load_config("tiny", [f"{key}={str(value).lower()}" for key, value in overrides])
    file = tmp_path_factory.getbasetemp() / "resolved.yaml"
    file.write_text(dump_config(config), encoding="utf-8")
    assert read_resolved(file) == config

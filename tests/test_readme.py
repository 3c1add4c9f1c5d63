"""The manual has a line for every config, key, option, command and steering word, and its numbers are the true ones."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import pytest

from cockpit.cli.arguments import build_parser
from engine.config.files.named_configs import list_configs
from engine.config.keys import config_keys
from engine.config.load import load_config
from engine.protocol.words.command_syntax import COMMAND_WORDS, usage
from engine.tasks.person.config import PersonConfig
from tests.docs.generate import DOCS, config_row


def page(name: str) -> list[str]:
    """Return the lines of a page of the manual."""
    return (DOCS / f"{name}.md").read_text(encoding="utf-8").splitlines()


def holds(line: str, word: str) -> bool:
    """Return whether `word` is in the line as a word of its own, dashes and underscores included."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", line) is not None


def subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def options(parser: argparse.ArgumentParser) -> list[str]:
    return [word for action in parser._actions for word in action.option_strings if word not in ("-h", "--help")]


@pytest.mark.parametrize("key", config_keys(PersonConfig).values(), ids=lambda key: key.name)
def test_every_config_key_has_its_row(key):
    assert config_row(key) in page("configuration")


def test_no_row_is_of_a_key_that_is_not_there():
    sections = "|".join(PersonConfig.model_fields)
    rows = [line for line in page("configuration") if re.match(rf"\| `({sections})\.[a-z_.]+` \|", line)]
    assert rows
    assert set(rows) <= {config_row(key) for key in config_keys(PersonConfig).values()}


@pytest.mark.parametrize("config", list_configs(), ids=lambda config: config.name)
def test_every_config_has_a_line_with_its_numbers(config):
    (line,) = (line for line in page("configuration") if line.startswith(f"| `{config.name}` |"))
    *_, rate, warmup, clip, decay, mixed, _ = (cell.strip() for cell in line.split("|"))
    training = load_config(config.name).training
    assert [float(cell) for cell in (rate, warmup, clip, decay)] == [
        training.learning_rate,
        training.warmup_epochs,
        training.gradient_clip,
        training.weight_decay,
    ]
    assert mixed == ("on" if training.mixed_precision else "off")


@pytest.mark.parametrize("option", options(build_parser()))
def test_every_training_option_has_a_line(option):
    assert any(line.startswith("| `--") and holds(line, option) for line in page("commands"))


@pytest.mark.parametrize(("name", "parser"), subcommands(build_parser()), ids=lambda value: str(value)[:20])
def test_every_command_has_a_line_with_its_options(name, parser):
    lines = [line for line in page("commands") if line.startswith("|") and f"main.py {name}" in line]
    assert lines
    assert [option for option in options(parser) if not any(holds(line, option) for line in lines)] == []
    for inner, _ in subcommands(parser):
        assert any(holds(line, inner) for line in lines)


@pytest.mark.parametrize("name", COMMAND_WORDS)
def test_every_steering_word_has_a_line(name):
    assert any(line.startswith(f"| `{usage(name)}` |") for line in page("commands"))


def test_a_word_is_not_found_inside_another_one():
    assert holds("| `--run NAME`", "--run")
    assert not holds("| `--runs-dir DIR`, `--no-run`", "--run")

"""`main.py configs`: the list, one config in full, and what is said where there is none."""

from __future__ import annotations

from argparse import Namespace

import pytest

from cockpit.cli.commands.configs import config_lines, run_configs
from engine.config.files.named_configs import NamedConfig, list_configs
from engine.config.load import load_config
from engine.errors import UserError


def test_the_list_has_a_line_for_each_config(capsys):
    assert run_configs(Namespace(show=None)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [config.name for config in list_configs()]
    assert all(config.description in line for config, line in zip(list_configs(), lines, strict=True))


def test_descriptions_stand_below_each_other(tmp_path):
    configs = (NamedConfig("a", "short", tmp_path), NamedConfig("longer", "", tmp_path))
    assert config_lines(configs) == ["a       short", "longer"]
    assert config_lines(()) == []


def test_a_shown_config_can_be_saved_and_loaded(capsys, tmp_path):
    assert run_configs(Namespace(show="tiny")) == 0
    text = capsys.readouterr().out
    assert "unet_width: 16  # " in text
    assert "configs/tiny.yaml:" in text
    (tmp_path / "saved.yaml").write_text(text, encoding="utf-8")
    assert load_config(str(tmp_path / "saved.yaml")) == load_config("tiny")


def test_an_unknown_config_is_told_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'tiny'"):
        run_configs(Namespace(show="tinny"))

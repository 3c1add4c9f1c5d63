"""A person's settings: found where the standard says, checked with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockpit.preferences.keymap import KEYS, lookup
from cockpit.preferences.settings import Settings, load_settings, settings_file, state_folder
from engine.errors import UserError


def written(folder: Path, text: str) -> Path:
    path = folder / "cockpit.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_everything_is_as_it_comes(tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm")
    assert load_settings(tmp_path / "none.yaml") == Settings()
    assert load_settings(written(tmp_path, "")) == Settings()
    assert Settings().keys == KEYS


def test_a_terminal_without_utf_8_gets_ascii_unless_a_marker_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "POSIX")
    assert load_settings(tmp_path / "none.yaml").marker == "ascii"
    assert load_settings(written(tmp_path, "bell: true")).marker == "ascii"
    assert load_settings(written(tmp_path, "marker: block")).marker == "block"


def test_every_setting_is_read(tmp_path):
    text = """
theme: cockpit-light
marker: ascii
bell: true
notifications: osc9
reduced_motion: true
poll_rate: 4
on_hangup: keep
keys:
  pause: [space, f9]
  step: "9"
  theme: []
  run_sort: z
"""
    settings = load_settings(written(tmp_path, text))
    assert (settings.theme, settings.marker, settings.bell) == ("cockpit-light", "ascii", True)
    assert (settings.notifications, settings.reduced_motion, settings.poll_rate) == ("osc9", True, 4)
    assert settings.on_hangup == "keep" and Settings().on_hangup == "checkpoint"
    assert lookup("pause", settings.keys).keys == ("space", "f9")
    assert lookup("step", settings.keys).keys == ("9",)
    assert lookup("theme", settings.keys).keys == ()
    assert lookup("run_sort", settings.run_keys).keys == ("z",)


def test_addresses_for_messages_are_one_or_several_and_never_shown(tmp_path):
    one = load_settings(written(tmp_path, "notify: ntfy://secret"))
    assert one.notify == ("ntfy://secret",)
    assert "secret" not in repr(one)
    assert load_settings(written(tmp_path, "notify: [ntfy://a, json://b]")).notify == ("ntfy://a", "json://b")
    assert load_settings(written(tmp_path, "notify:")).notify == ()
    for wrong in ("notify: 7", "notify: {url: json://secret}", "notify: [json://secret, 7]", "notify: ['']"):
        with pytest.raises(UserError, match=r"cockpit\.yaml:1: notify must be an address") as raised:
            load_settings(written(tmp_path, wrong))
        assert "secret" not in str(raised.value)


def test_off_is_a_word_and_not_a_switch(tmp_path):
    assert load_settings(written(tmp_path, "notifications: off")).notifications == "off"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thme: dark", "cockpit.yaml:1: there is no setting 'thme'; did you mean 'theme'?"),
        ("bell: yes", "cockpit.yaml:1: bell must be true or false, not 'yes'"),
        ("marker: brail", "cockpit.yaml:1: marker must be one of braille, block, ascii, not 'brail'"),
        ("\npoll_rate: 60", "cockpit.yaml:2: poll_rate must be a number above 0 and at most 10, not 60"),
        ("poll_rate: true", "poll_rate must be a number"),
        ("theme:\n  dark: 1", "theme must be the name of a theme"),
        ("keys:\n  puase: x", "did you mean 'pause'?"),
        ("keys:\n  pause: l", "the key 'l' is on both"),
        ("keys:\n  run_sort: x", "the key 'x' is on both 'run_sort' and 'run_delete'"),
        ("keys:\n  pause: hyper+x", "cockpit.yaml:2: the key of 'pause' cannot be 'hyper+x'"),
        ("keys: space", "keys is a mapping of actions"),
        ("keys:\n  pause: true", "the key of 'pause' is a word"),
        ("- theme", "cockpit.yaml:1: a config is a mapping"),
        ("theme: [", "not valid YAML"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(tmp_path, text, said):
    with pytest.raises(UserError) as caught:
        load_settings(written(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_file_lies_where_xdg_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    assert settings_file() == tmp_path / "c" / "training-cockpit" / "cockpit.yaml"
    assert state_folder() == tmp_path / "s" / "training-cockpit"


def test_a_relative_xdg_path_does_not_count(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "somewhere")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert settings_file() == tmp_path / ".config" / "training-cockpit" / "cockpit.yaml"
    assert state_folder() == tmp_path / ".local" / "state" / "training-cockpit"

"""Which environments are taken to show more than ASCII."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cockpit.terminal.encoding import shows_unicode

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({}, True),
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "C.utf8"}, True),
        ({"LANG": "ca_ES.UTF-8@valencia"}, True),
        ({"LANG": "C"}, False),
        ({"LANG": "POSIX"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "de_DE@euro"}, False),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "en_US.UTF-8", "LC_CTYPE": "C"}, False),
        ({"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, True),
        ({"LANG": "C", "LC_ALL": "", "LC_CTYPE": ""}, False),
        ({"LANG": "en_US.UTF-8", "TERM": "xterm-256color"}, True),
        ({"LANG": "en_US.UTF-8", "TERM": "linux"}, False),
        ({"LANG": "en_US.UTF-8", "TERM": "vt220"}, False),
    ],
)
def test_the_locale_and_the_terminals_name_decide(environment: dict[str, str], shown: bool) -> None:
    assert shows_unicode(environment, coerced=False) is shown


@pytest.mark.parametrize(("language", "marker"), [("C", "ascii"), ("en_US.UTF-8", "braille")])
def test_what_python_makes_of_the_locale_c_does_not_deceive(language: str, marker: str, tmp_path: Path) -> None:
    code = "from cockpit.preferences.settings import *; print(load_settings(settings_file()).marker)"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    environment = {**plain, "LANG": language, "TERM": "xterm", "XDG_CONFIG_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == marker

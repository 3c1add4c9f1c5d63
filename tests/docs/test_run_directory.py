"""The page run-directory names keys of `status --json` that are there, and layers that the person network has."""

from __future__ import annotations

import re
from pathlib import Path

from cockpit.cli.commands.reading.status import read_status
from engine.config.load import load_config
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.task import PersonTask
from tests.docs.generate import DOCS
from tests.recorded_run import record_run


def test_every_key_of_the_status_is_there(tmp_path: Path):
    text = (DOCS / "run-directory.md").read_text(encoding="utf-8")
    found = re.search(r"`status --json` has (.*?) and more", text, re.DOTALL)
    assert found is not None
    status = read_status(record_run(tmp_path / "run", steps=20))
    assert [key for key in re.findall(r"`(\w+)`", found[1]) if key not in status] == []


def test_every_layer_in_an_example_is_one_of_the_network():
    config = load_config("tiny")
    assert isinstance(config, PersonConfig)
    names = dict(PersonTask().build_model(config).named_parameters())
    pages = ("run-directory", "recipes", "commands")
    text = "".join((DOCS / f"{page}.md").read_text(encoding="utf-8") for page in pages)
    cited = re.findall(r"\bunet\.[\w.]+\.weight\b", text)
    assert cited
    assert [name for name in cited if name not in names] == []

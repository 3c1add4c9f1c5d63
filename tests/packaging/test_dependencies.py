"""Each dependency has its line in the manual, and each file that CONTRIBUTING names exists."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from tests.architecture.sources import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGE = (ROOT / "cockpit" / "docs" / "architecture.md").read_text(encoding="utf-8").partition("\n## Dependencies")[2]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ]", requirement)[0] for requirement in requirements}


def test_the_manual_has_a_line_for_each_dependency_and_for_no_other() -> None:
    _, base, extras, *_ = PAGE.split("\n### ")
    listed = set(re.findall(r"^\| ([a-z][\w-]*) \|", base, re.MULTILINE)) - {"package"}
    assert listed == names(PROJECT["dependencies"])
    optional = {name: needs for name, needs in PROJECT["optional-dependencies"].items() if name != "test"}
    shown = re.findall(r"^\| `(\w+)` \| ([\w-]+(?:, [\w-]+)*) \|", extras, re.MULTILINE)
    assert {extra: sorted(packages.split(", ")) for extra, packages in shown} == {
        extra: sorted(names(needs)) for extra, needs in optional.items()
    }


def test_the_tests_install_every_extra() -> None:
    (own,) = (need for need in PROJECT["optional-dependencies"]["test"] if need.startswith("training-cockpit["))
    extras = own.removeprefix("training-cockpit[").removesuffix("]").split(",")
    assert {*extras, "test"} == set(PROJECT["optional-dependencies"])


def test_contributing_names_files_that_exist() -> None:
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:engine|cockpit|tests|configs)/[\w./-]+)`", text))
    assert len(named) > 15
    assert {name for name in named if not (ROOT / name).exists()} == set()

"""The two walks of the architecture page: a real step and a real key pass their functions in that order."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from cockpit.app.app import CockpitApp
from cockpit.preferences.settings import Settings
from cockpit.ui.screens.main_screen import MainScreen
from engine.runtime.host.background import BackgroundRun
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.docs.generate import DOCS
from tests.small import small_config
from tests.waiting import until

STEP, KEY = "From a step to the screen", "From a key to the optimizer and back"
ROWS_BEFORE = {STEP: 12, KEY: 18}
"""Rows by the same rule at commit cf5dc40."""


def walk(title: str) -> list[tuple[str, str]]:
    """File and function of each row of a walk."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    section = text.split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| \d+ \| `([\w/]+\.py)`: `([\w.]+)` \|", section, re.MULTILINE)


def code_of(file: str, name: str) -> CodeType:
    found: Any = import_module(file.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        found = getattr(found, part)
    return found.__code__


def are_in_order(names: Iterable[str], calls: Iterable[str]) -> bool:
    """Whether all of `names` are among the calls, one after the other."""
    left = iter(calls)
    return all(name in left for name in names)


@pytest.fixture
def calls() -> Iterator[list[str]]:
    """The calls of the functions of both walks, in this thread and in those that begin now."""
    names = {code_of(*row): row[1] for title in ROWS_BEFORE for row in walk(title)}
    made: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code in names:
            made.append(names[frame.f_code])

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    yield made
    sys.setprofile(before)
    threading.setprofile(None)


@pytest.mark.parametrize("title", ROWS_BEFORE)
def test_a_walk_has_at_most_two_thirds_of_its_former_rows(title: str) -> None:
    assert 0 < len(walk(title)) <= ROWS_BEFORE[title] * 2 / 3


async def test_a_step_and_a_key_pass_the_functions_of_the_walks_in_their_order(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    interrupt, directory = Interrupt(), tmp_path / "run"
    directory.mkdir()
    request = RunRequest(directory, small_config(training={"epochs": 100_000}), device="cpu")
    training = BackgroundRun(lambda: train(request, interrupt), interrupt)
    app = CockpitApp(directory, settings=Settings(reduced_motion=True), training=training)
    step, key = ([name for _, name in walk(title)] for title in (STEP, KEY))
    try:
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: are_in_order(step, tuple(calls)))
            screen = next(screen for screen in app.screen_stack if isinstance(screen, MainScreen))
            del calls[:]
            await pilot.press("l")
            await until(pilot, lambda: "applied at step" in screen.answers.text)
            # The screen may show the answer before the engine's thread begins the next step.
            await until(pilot, lambda: key[0] in calls and are_in_order(key, calls[calls.index(key[0]) :]))
    finally:
        training.stop()
        assert training.wait(60) is not None
    assert calls.count(key[0]) == 1
    assert are_in_order(key, calls[calls.index(key[0]) :])

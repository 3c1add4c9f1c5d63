"""Every private name of Textual that is used exists, and only one module uses any."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
from importlib import metadata
from types import SimpleNamespace
from typing import ClassVar, Generic

import pytest
from textual._compositor import Compositor
from textual.app import ComposeResult
from textual.binding import Binding
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key, Paste
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

from cockpit.app.app import CockpitApp
from cockpit.preferences.settings import Settings
from cockpit.session.session import Session
from cockpit.terminal import textual_private
from cockpit.terminal.textual_private import PRIVATE_NAMES, OpenApp, OpenDriver, installed_version
from cockpit.ui.screens import compositor
from cockpit.ui.screens.compositor import TESTED_VERSIONS, FrugalCompositor
from tests.architecture.sources import ROOT, program_files
from tests.recorded_run import record_run

OURS_TOO = {"_file", "_app", "_loop"}
"""Names that classes of the cockpit have for something of their own."""


@pytest.mark.parametrize("where", PRIVATE_NAMES)
def test_the_private_names_exist(where: str) -> None:
    module, _, name = where.partition(":")
    kind = getattr(importlib.import_module(module), name)
    source = "".join(inspect.getsource(one) for one in kind.__mro__ if one not in (Generic, object))
    for attribute in PRIVATE_NAMES[where]:
        assert hasattr(kind, attribute) or re.search(rf"self\.{attribute}\b[^=\n]* = ", source), attribute


def test_one_module_uses_them() -> None:
    private = {name for names in PRIVATE_NAMES.values() for name in names if name.startswith("_")} - OURS_TOO
    users: set[str] = set()
    for path in program_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            is_import = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("textual._")
            is_use = isinstance(node, ast.Attribute) and node.attr in private
            if is_import or is_use:
                users.add(str(path.relative_to(ROOT)))
    assert users == {"cockpit/terminal/textual_private.py"}


def test_the_version_is_known_without_reading_the_metadata() -> None:
    assert installed_version() == metadata.version("textual")


def test_this_version_was_tested_with_the_frugal_compositor() -> None:
    if installed_version() not in TESTED_VERSIONS:
        pytest.skip("plain Textual puts the screen together on this version")
    screen: Screen[None] = Screen()
    assert isinstance(compositor.install_compositor(screen), FrugalCompositor)
    assert isinstance(screen._compositor, FrugalCompositor)


async def test_on_another_version_plain_textual_puts_the_screen_together(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(compositor, "installed_version", lambda: "8.99.0")
    app = CockpitApp(Session(record_run(tmp_path / "done", steps=40)), settings=Settings(reduced_motion=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        assert type(app.screen._compositor) is Compositor
        text = "\n".join("".join(part.text for part in strip) for strip in app.screen._compositor.render_strips())
    assert "loss" in text and "done" in text


def test_an_unclear_installation_has_no_version(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(textual_private.textual, "__file__", str(tmp_path / "textual" / "__init__.py"))
    assert installed_version() == ""
    for version in ("8.2.7", "8.2.8"):
        (tmp_path / f"textual-{version}.dist-info").mkdir()
    assert installed_version() == ""


class Question(ModalScreen[str]):
    """Asks for a text, which enter returns."""

    AUTO_FOCUS = "Input"

    def compose(self) -> ComposeResult:
        yield Input()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)


class Asking(OpenApp):
    """Opens a question on the key e, and counts the keys that it gets itself."""

    BINDINGS: ClassVar = [Binding("e", "ask", "ask"), Binding("n", "count", "count")]

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str | None] = []
        self.num_counted = 0

    def action_ask(self) -> None:
        self.push_screen(Question(), self.said.append)

    def action_count(self) -> None:
        self.num_counted += 1


async def test_keys_that_are_typed_before_a_screen_has_opened_are_for_it() -> None:
    app = Asking()
    async with app.run_test() as pilot:
        for key in ("e", "n", "1", "e", "enter"):
            app.post_message(Key(key, key if len(key) == 1 else None))
        for _ in range(20):
            await pilot.pause()
    assert (app.said, app.num_counted) == (["n1e"], 0)


async def test_pasted_text_waits_for_a_screen_that_opens() -> None:
    app = Asking()
    async with app.run_test() as pilot:
        app.action_ask()
        app.post_message(Paste("first"))
        app.post_message(Key("2", "2"))
        app.post_message(Key("enter", None))
        for _ in range(20):
            await pilot.pause()
    assert app.said == ["first2"]


def test_a_continue_while_the_threads_start_does_not_start_them_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[bool] = []
    later: list[object] = []

    def start(driver: LinuxDriver) -> None:
        starts.append(driver._must_signal_resume)
        if len(starts) == 1:
            driver._sigcont_application()  # as the handler of a signal, in the midst of it
        driver._must_signal_resume = False

    monkeypatch.setattr(LinuxDriver, "start_application_mode", start)
    monkeypatch.setattr(os, "isatty", lambda number: True)
    driver = object.__new__(OpenDriver)
    driver._app = SimpleNamespace(is_running=True)  # type: ignore[assignment]
    driver._loop = SimpleNamespace(call_soon_threadsafe=later.append)  # type: ignore[assignment]
    driver._auto_restart, driver._must_signal_resume, driver.fileno = True, True, 0
    driver._sigcont_application()
    assert starts == [True] and later == [driver.restart_application_mode]

"""With the ASCII marker no character outside ASCII is on the screen, whatever is opened; names stay as they are."""

from __future__ import annotations

import pytest
from rich.segment import Segment
from textual.color import Color

from cockpit.app.app import CockpitApp
from cockpit.preferences.settings import Settings
from cockpit.session.session import Session
from cockpit.terminal.ascii_filter import AsciiFilter
from tests.recorded_run import RecordedRun

OPENED = (
    "",
    "f3",
    "f4",
    "f5",
    "f6",
    "f7",
    "f8",
    "f1",
    "question_mark",
    "colon",
    "q",
    "r",
    "p",
    "o",
    "w",
    "b",
    "k",
    "N",
    "v",
)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    run = RecordedRun(tmp_path_factory.mktemp("runs") / "plain")
    run.begin()
    run.train(60)
    yield run.directory
    run.close()


def lines_of(app: CockpitApp) -> list[str]:
    return [strip.text for strip in app.screen._compositor.render_strips()]


@pytest.mark.parametrize("key", OPENED)
async def test_every_screen_and_dialog_is_ascii(live, key: str) -> None:
    app = CockpitApp(Session(live), settings=Settings(reduced_motion=True, marker="ascii"))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        if key:
            await pilot.press(key)
        await pilot.pause(0.2)
        assert [line for line in lines_of(app) if not line.isascii()] == []


async def test_so_is_an_answer(live) -> None:
    app = CockpitApp(Session(live), settings=Settings(reduced_motion=True, marker="ascii"))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        app.notify("something happened", title="✗ refused", severity="error")
        await pilot.pause(0.2)
        lines = lines_of(app)
        assert any("x refused" in line for line in lines)
        assert [line for line in lines if not line.isascii()] == []


def test_letters_of_any_alphabet_are_left_alone() -> None:
    (plain, drawn) = AsciiFilter().apply([Segment("Zoë Müller 模型"), Segment("╭─✓ ok ─╮│▌")], Color(0, 0, 0))
    assert (plain.text, drawn.text) == ("Zoë Müller 模型", "+-+ ok -+||")

"""The screen in a real browser: a token opens it, a key steers the run, and without the token there is nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyte
import pytest

from engine.protocol.commands import Pause
from tests.recorded import ROOT
from tests.recorded_run import RecordedRun

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SECONDS = 60

pytest.importorskip("textual_serve", reason="the extra browser is not installed")
playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RecordedRun]:
    """A live run with some steps."""
    recorded = RecordedRun(tmp_path / "runs" / "night", total_steps=400)
    recorded.begin()
    recorded.train(40)
    yield recorded
    recorded.close()


@pytest.fixture
def server(run: RecordedRun) -> Iterator[tuple[psutil.Process, str]]:
    """The process of `serve --steer` and its address; it is expected to end, with the processes of its screens."""
    words = [sys.executable, str(ROOT / "main.py"), "serve", str(run.directory), "--steer", "--json", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            yield psutil.Process(process.pid), json.loads(line)["url"]
            assert (process.wait(SECONDS), process.communicate()[1]) == (0, "")
        finally:
            process.kill()


class Shown:
    """The terminal of the page, drawn from the bytes that its connection received."""

    def __init__(self, page: Any) -> None:
        self.screen = pyte.Screen(200, 60)
        self.stream = pyte.ByteStream(self.screen)
        page.on("websocket", lambda connection: connection.on("framereceived", self._take))

    def _take(self, data: bytes | str) -> None:
        if isinstance(data, bytes):
            self.stream.feed(data)

    def width(self) -> int:
        return max(len(line.rstrip()) for line in self.screen.display)

    def text(self) -> str:
        return "\n".join(self.screen.display)


async def until(holds: Callable[[], Any], what: Callable[[], str]) -> Any:
    """Return the first true value of `holds`; fail with `what` after a while."""
    for _ in range(SECONDS * 10):
        if found := holds():
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(what())


async def test_a_key_in_the_browser_steers_the_run(run: RecordedRun, server: tuple[psutil.Process, str]) -> None:
    process, address = server
    async with playwright.async_playwright() as tools:
        browser = await tools.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS])
        stranger = await browser.new_page()
        refused = await stranger.goto(address.partition("?")[0])
        assert refused.status == 403
        page = await browser.new_page(viewport={"width": 1200, "height": 700})
        foreign: list[str] = []
        page.on("response", lambda answer: foreign.append(answer.url) if "127.0.0.1" not in answer.url else None)
        shown = Shown(page)
        assert (await page.goto(address)).status == 200
        await until(lambda: "night" in shown.text() and "40" in shown.text(), shown.text)
        await page.wait_for_selector("body.-first-byte")
        await page.focus("textarea.xterm-helper-textarea")
        await page.keyboard.press("Space")
        (request,) = await until(run.answer_commands, shown.text)
        assert request.command == Pause() and request.actor.startswith("cockpit@")
        await until(lambda: "paused" in shown.text(), shown.text)
        again = await stranger.goto(address)
        assert again.status == 403  # the token is spent
        assert foreign == []  # nothing is loaded from elsewhere
        await page.set_viewport_size({"width": 1700, "height": 700})
        await until(lambda: shown.width() > 150, shown.text)
        await page.keyboard.press("q")
        await page.wait_for_selector("body.-closed")
        await page.reload()  # the cookie opens it again
        await page.wait_for_selector("body.-first-byte")
        screens = process.children()
        assert len(screens) == 1
        process.send_signal(signal.SIGINT)
        await page.wait_for_selector("body.-closed")
        await browser.close()
    assert psutil.wait_procs(screens, timeout=SECONDS)[1] == []

"""The screen in a real browser: an address opens it once, a key steers the run, and a stranger gets nothing."""

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


class Server:
    """The process of `serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process, self._lines = process, process.stdout

    def next_address(self) -> str:
        """Return the address of the next line that is printed."""
        line = self._lines.readline()
        assert line, self._process.communicate()[1]
        return str(json.loads(line)["url"])

    def screens(self) -> list[psutil.Process]:
        """Return the processes of its screens."""
        return psutil.Process(self._process.pid).children()

    def interrupt(self) -> None:
        """Send SIGINT."""
        self._process.send_signal(signal.SIGINT)


@pytest.fixture
def server(run: RecordedRun) -> Iterator[Server]:
    """A process of `serve --steer`; it is expected to end by itself, with the processes of its screens."""
    words = [sys.executable, str(ROOT / "main.py"), "serve", str(run.directory), "--steer", "--json", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process)
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


@pytest.mark.slow
async def test_the_screen_in_a_browser(run: RecordedRun, server: Server) -> None:
    address = server.next_address()
    async with playwright.async_playwright() as tools:
        browser = await tools.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS])
        stranger = await browser.new_page()  # each page has a profile of its own
        assert (await stranger.goto(address.partition("?")[0])).status == 403
        page = await browser.new_page(viewport={"width": 1200, "height": 700})
        foreign: list[str] = []
        page.on("response", lambda answer: foreign.append(answer.url) if "127.0.0.1" not in answer.url else None)
        shown = Shown(page)
        assert (await page.goto(address)).status == 200
        await _see_the_run_and_steer_it(page, shown, run)
        assert foreign == []  # nothing is loaded from elsewhere
        assert page.url == address.partition("?")[0]  # the token is neither in the address bar nor in a copy of it
        before = server.screens()
        assert (await stranger.goto(address)).status == 403  # a used address in another profile: no page, no process
        assert server.screens() == before
        await _leave_and_come_back(page, server)
        next_address = server.next_address()
        assert (await stranger.goto(next_address)).status == 200  # without a restart
        await stranger.wait_for_selector("body.-first-byte")
        screens = server.screens()
        assert len(screens) == 2
        server.interrupt()
        for one in (page, stranger):
            await one.wait_for_selector("body.-closed")
        await browser.close()
    assert psutil.wait_procs(screens, timeout=SECONDS)[1] == []


async def _see_the_run_and_steer_it(page: Any, shown: Shown, run: RecordedRun) -> None:
    await until(lambda: "night" in shown.text() and "40" in shown.text(), shown.text)
    await page.wait_for_selector("body.-first-byte")
    await page.focus("textarea.xterm-helper-textarea")
    await page.keyboard.press("Space")
    (request,) = await until(run.answer_commands, shown.text)
    assert request.command == Pause() and request.actor.startswith("cockpit@")
    await until(lambda: "paused" in shown.text(), shown.text)
    await page.set_viewport_size({"width": 1700, "height": 700})
    await until(lambda: shown.width() > 150, shown.text)


async def _leave_and_come_back(page: Any, server: Server) -> None:
    """Reload, lose the connection, and end the screen by its key: the cookie opens it again each time."""
    former = server.screens()
    await page.reload()
    await page.wait_for_selector("body.-first-byte")
    (screen,) = await until(lambda: [one for one in server.screens() if one not in former], lambda: "no new screen")
    screen.kill()
    await page.wait_for_selector("body.-closed")
    await page.click("text=Restart")
    await page.wait_for_selector("body.-first-byte")
    await page.focus("textarea.xterm-helper-textarea")
    await page.keyboard.press("q")
    await page.wait_for_selector("body.-closed")
    await page.reload()
    await page.wait_for_selector("body.-first-byte")

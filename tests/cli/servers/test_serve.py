"""The web server: who is admitted, what is refused, and its words on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cockpit.cli.arguments import parse_arguments
from cockpit.cli.dispatch import run_subcommand
from cockpit.cli.servers.browser.gate import Gate, is_own_host, is_own_origin
from cockpit.cli.servers.serve import Admission, announcement, announcement_as_json, screen_words
from engine.errors import UserError
from engine.journal.writer import JournalWriter
from tests.cli.conftest import Call

aiohttp = pytest.importorskip("aiohttp", reason="the extra browser is not installed")
pytest.importorskip("textual_serve", reason="the extra browser is not installed")

from cockpit.cli.servers.browser.server import ScreenServer, Site  # noqa: E402


class Serving:
    """A server on a free port, the addresses that it has printed, and browsers."""

    def __init__(self, words: Sequence[str], limit: int) -> None:
        self.gate = Gate(limit)
        self.printed: list[tuple[str, int]] = []
        site = Site("127.0.0.1", 0, "a run", words)
        self.server = ScreenServer(site, self.gate, lambda address, admitted: self.printed.append((address, admitted)))
        self.stack = AsyncExitStack()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def browser(self) -> Browser:
        """Return a browser with cookies of its own."""
        jar = aiohttp.CookieJar(unsafe=True)
        return Browser(self, await self.stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar)))


class Browser:
    """A client that keeps cookies."""

    def __init__(self, serving: Serving, client: Any) -> None:
        self.serving, self.client = serving, client

    async def get(self, path: str, **headers: str) -> tuple[int, Any, str]:
        """Request a path, or an address, and return status, headers and text."""
        url = path if path.startswith("http") else self.serving.origin + path
        async with self.client.get(url, headers=headers, allow_redirects=False) as response:
            return response.status, response.headers, await response.text(errors="replace")

    async def open(self) -> str:
        """Open the newest address that was printed and return its text."""
        address, _ = self.serving.printed[-1]
        status, _, text = await self.get(address)
        assert status == 200
        return text

    def screen(self) -> Any:
        """Return a connection to a screen."""
        return self.client.ws_connect(f"{self.serving.origin}/ws?width=x&height=-1", origin=self.serving.origin)


@asynccontextmanager
async def serving(*words: str, limit: int = 4) -> AsyncIterator[Serving]:
    """Yield a server whose screens are processes of `words`."""
    served = Serving(words or ["false"], limit)
    runner = await served.server.start()
    served.server.announce()
    async with served.stack:
        try:
            yield served
        finally:
            await runner.cleanup()


async def test_nothing_is_served_without_the_token(tmp_path: Path) -> None:
    async with serving("touch", str(tmp_path / "a screen")) as served:
        stranger = await served.browser()
        for path in ("/", "/?token=", "/?token=guess", "/static/js/textual.js", "/ws", "/download/x", "/nothing"):
            for cookie in ("", "None", "\udcff", served.gate.token):
                status, headers, text = await stranger.get(path, Cookie=f"cockpit_{served.server.port}={cookie}")
                assert (status, "Set-Cookie" in headers) == (403, False)
                assert "textual" not in text.lower()
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await stranger.screen()
        async with stranger.client.head(served.printed[0][0]) as response:  # as a program that previews links
            assert response.status == 403
        assert served.printed == [(f"{served.origin}/?token={served.gate.token}", 0)]
        assert "Training Cockpit" in await stranger.open()  # the token has not been spent
        assert not [*tmp_path.iterdir()]  # no process of a screen was started
        async with stranger.screen() as socket:
            await socket.receive()
        assert [*tmp_path.iterdir()]


async def test_the_token_is_exchanged_for_a_cookie() -> None:
    async with serving() as served:
        browser = await served.browser()
        ((address, _),) = served.printed
        _, headers, entry = await browser.get(f"{address}&fontsize=20&x=%22%3E")
        (cookie,) = headers.getall("Set-Cookie")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} < set(cookie.split("; "))
        assert re.fullmatch(rf"cockpit_{served.server.port}=[\w-]{{43}}", cookie.split("; ")[0])
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        goal = re.search(r'content="0; url=(.*?)"', entry)
        assert goal is not None and goal[1] == "/?fontsize=20&amp;x=%22%3E"
        for _ in range(2):  # a reload
            status, headers, page = await browser.get("/?fontsize=20")
            assert (status, "Set-Cookie" in headers) == (200, False)
            assert f"ws://127.0.0.1:{served.server.port}/ws" in page
            assert 'data-font-size="20"' in page
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "google" not in headers["Content-Security-Policy"]
        assert (await browser.get("/static/js/textual.js"))[0] == 200
        assert (await browser.get(address))[0] == 200  # the used address, from the history of this browser
        status, headers, text = await (await served.browser()).get(address)  # or copied to another one
        assert (status, "Set-Cookie" in headers) == (403, False)
        assert "the newest address" in text
        assert len(served.printed) == 2


async def test_a_new_address_admits_another_browser_and_the_same_one_keeps_its_cookie() -> None:
    async with serving() as served:
        first, second = [await served.browser() for _ in range(2)]
        await first.open()
        await first.open()
        assert [admitted for _, admitted in served.printed] == [0, 1, 1]
        await second.open()
        assert [admitted for _, admitted in served.printed] == [0, 1, 1, 2]
        assert len({address for address, _ in served.printed}) == 4
        assert [(await browser.get("/"))[0] for browser in (first, second)] == [200, 200]


async def test_one_browser_too_many_takes_the_place_of_another() -> None:
    async with serving("cat", limit=2) as served:
        watching, closed, third, fourth = [await served.browser() for _ in range(4)]
        await watching.open()
        await closed.open()
        async with watching.screen() as socket:
            await third.open()
            statuses = [(await browser.get("/"))[0] for browser in (watching, closed, third)]
            assert statuses == [200, 403, 200]  # a browser without a screen goes first
            async with third.screen():
                await fourth.open()
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE  # and its screen ends
                assert [(await browser.get("/"))[0] for browser in (watching, third, fourth)] == [403, 200, 200]
                with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                    await watching.screen()
        assert [admitted for _, admitted in served.printed] == [0, 1, 2, 2, 2]


async def test_another_host_or_page_is_refused_with_the_cookie_too() -> None:
    async with serving() as served:
        browser = await served.browser()
        assert (await browser.get(served.printed[0][0], Host="evil.example"))[0] == 403  # and the token is not spent
        await browser.open()
        assert (await browser.get("/", Host="evil.example"))[0] == 403
        assert (await browser.get("/", Host=f"localhost:{served.server.port}"))[0] == 200
        for origin in ("http://evil.example", served.origin.replace("http:", "https:"), "null", ""):
            assert (await browser.get("/ws", Origin=origin))[0] == 403
        assert (await browser.get("/ws", Origin=served.origin))[0] == 400  # admitted, but no websocket


async def test_a_screen_that_does_not_begin_and_a_message_of_another_page_close_the_connection() -> None:
    for words, message in (("false", '["ping", 1]'), ("cat", '{"no": "list"}'), ("cat", "[]"), ("cat", "{")):
        async with serving(words) as served:
            browser = await served.browser()
            await browser.open()
            async with browser.screen() as socket:
                await socket.send_str(message)
                types = {message.type async for message in socket}
                assert socket.closed
                assert types <= {aiohttp.WSMsgType.TEXT}


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1:8123", True),
        ("localhost", True),
        ("[::1]:80", True),
        ("127.0.0.1.evil.example", False),
        ("evil.example:8123", False),
        ("", False),
        ("[::1", False),
        ("localhost@evil.example", False),
    ],
)
def test_only_names_of_this_machine_are_served(host: str, is_own: bool) -> None:
    assert is_own_host(host) is is_own
    assert is_own_origin(f"http://{host}", host)
    assert not is_own_origin("http://evil.example", host)


async def test_a_used_port_is_one_sentence() -> None:
    async with serving() as served:
        port = served.server.port
        second = ScreenServer(Site("127.0.0.1", port, "a run", ["false"]), Gate(1), lambda *said: None)
        with pytest.raises(UserError, match=f"the port {port} is in use: give another --port"):
            await second.start()


def test_a_network_interface_is_refused_with_the_way_that_works(call: Call, live: JournalWriter) -> None:
    with pytest.raises(UserError, match=r"listens on this machine only, not on '0\.0\.0\.0'.*ssh -L 9000:127"):
        call("serve", "live", "--host", "0.0.0.0", "--port", "9000")


def test_a_run_that_is_not_there_is_one_sentence(
    call: Call, live: JournalWriter, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="did you mean 'live'"):
        call("serve", "liv")
    for option, value in (("--port", "70000"), ("--browsers", "0"), ("--browsers", "100"), ("--browsers", "x")):
        with pytest.raises(SystemExit):
            parse_arguments(["serve", option, value])
    monkeypatch.setattr("cockpit.cli.servers.extras.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'training-cockpit\[browser\]'"):
        run_subcommand(parse_arguments(["serve", "--runs-dir", str(runs_dir), "live"]))


def test_a_screen_steers_only_on_request(tmp_path: Path) -> None:
    watching, steering = (screen_words(tmp_path, can_steer=can_steer) for can_steer in (False, True))
    assert watching == [*steering, "--read-only"]
    assert steering[-2:] == ["attach", str(tmp_path)]


def test_the_address_is_printed_for_people_and_for_programs() -> None:
    first = Admission("http://x/?token=t", "r", can_steer=False, admitted=0, limit=2)
    assert json.loads(announcement_as_json(first)) == {
        **{"url": "http://x/?token=t", "run": "r", "steer": False},
        **{"admitted": 0, "browsers": 2},
    }
    assert announcement(first).startswith("http://x/?token=t\nThis address watches r. It works once;")
    assert announcement(replace(first, can_steer=True)).startswith("http://x/?token=t\nThis address steers r.")
    assert announcement(replace(first, admitted=1)) == (
        "1 of 2 browsers are admitted; for one more:\nhttp://x/?token=t"
    )
    assert announcement(replace(first, admitted=2)) == (
        "2 of 2 browsers are admitted; the next one takes the place of another:\nhttp://x/?token=t"
    )

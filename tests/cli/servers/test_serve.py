"""The web server: who is admitted, what is refused, and its words on the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cockpit.cli.arguments import parse_arguments
from cockpit.cli.dispatch import run_subcommand
from cockpit.cli.servers.browser.gate import Gate, is_own_host, is_own_origin
from cockpit.cli.servers.serve import screen_words
from engine.errors import UserError
from engine.journal.writer import JournalWriter
from tests.cli.conftest import Call

aiohttp = pytest.importorskip("aiohttp", reason="the extra browser is not installed")
pytest.importorskip("textual_serve", reason="the extra browser is not installed")

from cockpit.cli.servers.browser.server import ScreenServer, Site, announcement  # noqa: E402

Get = Callable[..., Any]


@asynccontextmanager
async def serving(gate: Gate) -> AsyncIterator[tuple[ScreenServer, Get]]:
    """Yield a server on a free port, and a function that requests a path and returns status and response."""
    server = ScreenServer(Site("127.0.0.1", 0, "a run", ["false"]), gate)
    runner = await server.start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:

        async def get(path: str, **headers: str) -> tuple[int, Any, str]:
            url = f"http://127.0.0.1:{server.port}{path}"
            async with client.get(url, headers=headers, allow_redirects=False) as response:
                return response.status, response.headers, await response.text(errors="replace")

        try:
            yield server, get
        finally:
            await runner.cleanup()


async def test_nothing_is_served_without_the_token() -> None:
    async with serving(Gate()) as (server, get):
        for path in ("/", "/?token=", "/?token=guess", "/static/js/textual.js", "/ws", "/download/x", "/nothing"):
            status, headers, text = await get(path)
            assert (status, "Set-Cookie" in headers) == (403, False)
            assert "textual" not in text.lower()
        own = f"http://127.0.0.1:{server.port}"
        upgrade = {"Origin": own, "Connection": "Upgrade", "Upgrade": "websocket"}
        assert (await get("/ws", **upgrade))[0] == 403


async def test_the_token_admits_one_browser() -> None:
    gate = Gate()
    async with serving(gate) as (server, get):
        assert server.address == f"http://127.0.0.1:{server.port}/?token={gate.token}"
        status, headers, page = await get(f"/?token={gate.token}")
        assert status == 200
        assert f"ws://127.0.0.1:{server.port}/ws" in page
        assert gate.token not in page
        cookie = headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "google" not in headers["Content-Security-Policy"]
        assert (await get("/static/js/textual.js"))[0] == 200  # with the cookie
        assert (await get("/"))[0] == 200
        async with aiohttp.ClientSession() as other, other.get(server.address) as response:
            assert response.status == 403


async def test_another_host_or_page_is_refused_with_the_cookie_too() -> None:
    gate = Gate()
    async with serving(gate) as (server, get):
        assert (await get(f"/?token={gate.token}", Host="evil.example"))[0] == 403  # and the token is not spent
        assert (await get(f"/?token={gate.token}"))[0] == 200
        assert (await get("/", Host="evil.example"))[0] == 403
        assert (await get("/", Host=f"localhost:{server.port}"))[0] == 200
        for origin in ("http://evil.example", f"https://127.0.0.1:{server.port}", "null", ""):
            assert (await get("/ws", Origin=origin))[0] == 403
        assert (await get("/ws", Origin=f"http://127.0.0.1:{server.port}"))[0] == 400  # admitted, but no websocket


async def test_a_screen_that_does_not_begin_and_a_message_of_another_page_close_the_connection() -> None:
    for words, message in ((["false"], '["ping", 1]'), (["cat"], '{"no": "list"}'), (["cat"], "[]"), (["cat"], "{")):
        server = ScreenServer(Site("127.0.0.1", 0, "a run", words), Gate())
        runner = await server.start()
        origin = f"http://127.0.0.1:{server.port}"
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
            async with client.get(server.address) as response:
                assert response.status == 200
            async with client.ws_connect(f"{origin}/ws?width=x&height=-1", origin=origin) as socket:
                await socket.send_str(message)
                types = {message.type async for message in socket}
                assert socket.closed
                assert types <= {aiohttp.WSMsgType.TEXT}
        await runner.cleanup()


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
    async with serving(Gate()) as (server, _):
        second = ScreenServer(Site("127.0.0.1", server.port, "a run", ["false"]), Gate())
        with pytest.raises(UserError, match=f"the port {server.port} is in use: give another --port"):
            await second.start()


def test_a_network_interface_is_refused_with_the_way_that_works(call: Call, live: JournalWriter) -> None:
    with pytest.raises(UserError, match=r"listens on this machine only, not on '0\.0\.0\.0'.*ssh -L 9000:127"):
        call("serve", "live", "--host", "0.0.0.0", "--port", "9000")


def test_a_run_that_is_not_there_is_one_sentence(
    call: Call, live: JournalWriter, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="did you mean 'live'"):
        call("serve", "liv")
    with pytest.raises(SystemExit):
        parse_arguments(["serve", "--port", "70000"])
    monkeypatch.setattr("cockpit.cli.servers.extras.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'training-cockpit\[browser\]'"):
        run_subcommand(parse_arguments(["serve", "--runs-dir", str(runs_dir), "live"]))


def test_a_screen_steers_only_on_request(tmp_path: Path) -> None:
    watching, steering = (screen_words(tmp_path, can_steer=can_steer) for can_steer in (False, True))
    assert watching == [*steering, "--read-only"]
    assert steering[-2:] == ["attach", str(tmp_path)]


def test_the_address_is_printed_for_people_and_for_programs() -> None:
    assert announcement("http://x/?token=t", "r", can_steer=False, as_json=True) == (
        '{"url": "http://x/?token=t", "run": "r", "steer": false}'
    )
    assert announcement("http://x/?token=t", "r", can_steer=True, as_json=False).startswith("http://x/?token=t\n")

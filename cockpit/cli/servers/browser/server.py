"""The web server: textual-serve's page and terminal, for browsers of this machine."""

from __future__ import annotations

import asyncio
import errno
import html
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from aiohttp import WSCloseCode, web
from textual_serve.server import Server

from cockpit.cli.servers.browser.gate import Gate, is_own_host, is_own_origin
from cockpit.cli.servers.browser.screens import ScreenProcess
from engine.errors import UserError
from engine.protocol.record import record
from engine.protocol.words.command_syntax import program_name
from engine.runtime.host.start_signals import heeded_signals

MAX_SCREENS: Final = 8
"""Screens at the same time; each is a process."""

_MAX_MESSAGE: Final = 64 * 1024
_LOG: Final = logging.getLogger(__name__)

_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self' ws://{host}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""What the page may load: only from this server. textual-serve's page asks a server of Google for a font."""

_ENTRY: Final = """<!DOCTYPE html>
<html><head><title>Training Cockpit</title><meta http-equiv="refresh" content="0; url={url}"></head></html>
"""
"""Page that replaces an address with a token by one without.

A redirect would not do: after a link from another site the browser would request its target without the cookie.
"""

_BROKEN: Final = (AssertionError, AttributeError, ConnectionError, LookupError, OverflowError, TypeError, ValueError)
"""Errors of a connection that broke, or whose messages are not those of the page."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Announce = Callable[[str, int], None]
"""Prints an address that admits a browser, and the number of those that are admitted."""


@record
class Site:
    """The place to serve at, the title of the page, and the words of the process that draws the screen."""

    host: str
    port: int
    title: str
    words: Sequence[str]


class ScreenServer(Server):
    """Serves a screen to the browsers that `gate` admits; `announce` gets the address for the next one."""

    def __init__(self, site: Site, gate: Gate, announce: Announce) -> None:
        super().__init__(site.words[0], host=site.host, port=site.port, title=site.title)
        self._site = site
        self._gate = gate
        self._announce = announce
        self._sockets: dict[web.WebSocketResponse, str] = {}  # with the cookie of each one's browser
        self._closing: Awaitable[object] | None = None

    @property
    def address(self) -> str:
        """Return the address that admits the next browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/?token={self._gate.token}"

    async def start(self) -> web.AppRunner:
        """Begin to listen and return the runner, whose `cleanup` ends everything. Raises UserError."""
        app = await self._make_app()

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._guard(request, handler)

        app.middlewares.append(guard)
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError as error:
            await runner.cleanup()
            is_used = error.errno == errno.EADDRINUSE
            why = f"the port {self.port} is in use: give another --port" if is_used else f"cannot listen: {error}"
            raise UserError(why) from error
        self.port = runner.addresses[0][1]
        return runner

    def announce(self) -> None:
        """Print the address that admits the next browser."""
        self._announce(self.address, len(self._gate))

    async def on_startup(self, app: web.Application) -> None:
        """Print nothing: the address is printed with its token by the command."""

    async def on_shutdown(self, app: web.Application) -> None:
        """Close every connection, which ends the processes of their screens."""
        await _close([*self._sockets], WSCloseCode.GOING_AWAY)

    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse every request without a cookie or the token, and those of another host or page."""
        if not is_own_host(request.host):
            return web.Response(status=403, text="403: this server answers to 127.0.0.1 and localhost only\n")
        cookie = self._cookie_of(request)
        token = request.query.get("token", "") if (request.method, request.path) == ("GET", "/") else ""
        if token and (admitted := self._gate.exchange(token, cookie)) is not None:
            return self._admit(request, admitted)
        if not self._gate.admits(cookie):
            remedy = f"open the newest address that `{program_name()} serve` has printed"
            once = "Each works once, and then in that browser only."
            return web.Response(status=403, text=f"403: {remedy}. {once}\n")
        if request.path == "/ws" and not is_own_origin(request.headers.get("Origin", ""), request.host):
            return web.Response(status=403, text="403: only a page of this server may connect\n")
        response = await handler(request)
        if not response.prepared:
            _restrict(response, request)
        return response

    def _admit(self, request: web.Request, cookie: str) -> web.Response:
        """Give the cookie to the browser, close the screens of one that has lost its place, announce a new address."""
        url = request.rel_url.without_query_params("token")
        response = web.Response(text=_ENTRY.format(url=html.escape(str(url))), content_type="text/html")
        _restrict(response, request)
        response.set_cookie(self._cookie, cookie, httponly=True, samesite="Strict", path="/")
        self.announce()
        lost = [socket for socket, owner in self._sockets.items() if not self._gate.admits(owner)]
        self._closing = _close(lost, WSCloseCode.POLICY_VIOLATION)  # not awaited: a lost connection takes seconds
        return response

    def _cookie_of(self, request: web.Request) -> str:
        return request.cookies.get(self._cookie, "")

    @property
    def _cookie(self) -> str:
        """Return the cookie's name: browsers send the cookies of one host to all of its ports."""
        return f"cockpit_{self.port}"

    async def handle_index(self, request: web.Request) -> Any:
        """Return the page, with addresses of the host and port that the browser used."""
        self.public_url = f"http://{request.host}"
        return await super().handle_index(request)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run a screen for as long as the browser is connected."""
        socket = web.WebSocketResponse(heartbeat=15, max_msg_size=_MAX_MESSAGE)
        await socket.prepare(request)
        cookie = self._cookie_of(request)
        if len(self._sockets) >= MAX_SCREENS or not self._gate.admits(cookie):  # it may just have lost its place
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too many screens are open")
            return socket
        self._sockets[socket] = cookie
        self._gate.count_screen(cookie, 1)
        screen = ScreenProcess(
            self._site.words,
            write_bytes=socket.send_bytes,
            write_str=socket.send_str,
            close=socket.close,
            download_manager=self.download_manager,
        )
        try:
            await screen.start(_size(request, "width", 80), _size(request, "height", 24))
            await self._process_messages(socket, screen)
        except _BROKEN as error:
            _LOG.warning("a connection was closed: %r", error)
        finally:
            await screen.stop()
            del self._sockets[socket]
            self._gate.count_screen(cookie, -1)
            await socket.close()
        return socket


def _restrict(response: web.StreamResponse, request: web.Request) -> None:
    """Let the page load from this server only, tell no other one its address, and be kept nowhere."""
    response.headers["Content-Security-Policy"] = _POLICY.format(host=request.host)
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if request.path == "/":
        response.headers["Cache-Control"] = "no-store"


def _close(sockets: Sequence[web.WebSocketResponse], code: WSCloseCode) -> Awaitable[object]:
    return asyncio.gather(*(socket.close(code=code) for socket in sockets), return_exceptions=True)


def _size(request: web.Request, name: str, default: int) -> int:
    """Return a number of columns or lines from the query."""
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else default


def serve(server: ScreenServer) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. Raises UserError."""
    asyncio.run(_serve(server))


async def _serve(server: ScreenServer) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in heeded_signals():
        loop.add_signal_handler(number, over.set)
    runner = await server.start()
    try:
        server.announce()
        await over.wait()
    finally:
        await runner.cleanup()

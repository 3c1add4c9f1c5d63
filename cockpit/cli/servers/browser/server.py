"""The web server: textual-serve's page and terminal, for one browser of this machine."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from aiohttp import WSCloseCode, web
from textual_serve.server import Server

from cockpit.cli.servers.browser.gate import Gate, is_own_host, is_own_origin
from cockpit.cli.servers.browser.screens import ScreenProcess
from engine.errors import UserError
from engine.protocol.record import record
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

_FORBIDDEN: Final = "403: open the address that `main.py serve` printed; it works once, in one browser.\n"

_BROKEN: Final = (AssertionError, AttributeError, ConnectionError, LookupError, OverflowError, TypeError, ValueError)
"""Errors of a connection that broke, or whose messages are not those of the page."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@record
class Site:
    """The place to serve at, the title of the page, and the words of the process that draws the screen."""

    host: str
    port: int
    title: str
    words: Sequence[str]


class ScreenServer(Server):
    """Serves a screen to the browser that `gate` admits."""

    def __init__(self, site: Site, gate: Gate) -> None:
        super().__init__(site.words[0], host=site.host, port=site.port, title=site.title)
        self._site = site
        self._gate = gate
        self._sockets: set[web.WebSocketResponse] = set()

    @property
    def address(self) -> str:
        """Return the address to open, with the token."""
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

    async def on_startup(self, app: web.Application) -> None:
        """Print nothing: the address is printed with its token by the command."""

    async def on_shutdown(self, app: web.Application) -> None:
        """Close every connection, which ends the processes of their screens."""
        closing = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in [*self._sockets]]
        await asyncio.gather(*closing, return_exceptions=True)

    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse every request without the token or the cookie, and those of another host or page."""
        if not is_own_host(request.host):
            return web.Response(status=403, text="403: this server answers to 127.0.0.1 and localhost only\n")
        is_first = request.path == "/" and self._gate.spend(request.query.get("token", ""))
        if not is_first and not self._gate.admits(request.cookies.get(self._cookie, "")):
            return web.Response(status=403, text=_FORBIDDEN)
        if request.path == "/ws" and not is_own_origin(request.headers.get("Origin", ""), request.host):
            return web.Response(status=403, text="403: only a page of this server may connect\n")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = _POLICY.format(host=request.host)
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["X-Content-Type-Options"] = "nosniff"
        if is_first:
            response.headers["Cache-Control"] = "no-store"
            response.set_cookie(self._cookie, self._gate.pass_value, httponly=True, samesite="Strict", path="/")
        return response

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
        if len(self._sockets) >= MAX_SCREENS:
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too many screens are open")
            return socket
        self._sockets.add(socket)
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
            self._sockets.discard(socket)
            await socket.close()
        return socket


def _size(request: web.Request, name: str, default: int) -> int:
    """Return a number of columns or lines from the query."""
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else default


def serve(server: ScreenServer, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; `announce` gets the address once the server listens. Raises UserError."""
    asyncio.run(_serve(server, announce))


async def _serve(server: ScreenServer, announce: Callable[[str], None]) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in heeded_signals():
        loop.add_signal_handler(number, over.set)
    runner = await server.start()
    try:
        announce(server.address)
        await over.wait()
    finally:
        await runner.cleanup()


def announcement(address: str, run: str, *, can_steer: bool, as_json: bool) -> str:
    """Return the text that is printed once the server listens."""
    if as_json:
        return json.dumps({"url": address, "run": run, "steer": can_steer})
    kind = "steers" if can_steer else "watches"
    return f"{address}\nThis address {kind} {run}. It works once, in one browser; Ctrl+C ends the server."

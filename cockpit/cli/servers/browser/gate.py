"""Admission to the server: tokens that work once, a cookie for each browser, and the checks of host and origin."""

from __future__ import annotations

import hmac
import secrets
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
"""Names of this machine's own interface."""


class Gate:
    """Admits at most `limit` browsers: each by a token that works once, from then on by a cookie of its own."""

    def __init__(self, limit: int) -> None:
        self.token = _new_token()
        """The token that admits the next browser."""
        self.limit = limit
        self._browsers: dict[str, int] = {}  # open screens of each cookie's browser; the least recently used first

    def __len__(self) -> int:
        return len(self._browsers)

    def exchange(self, token: str, cookie: str = "") -> str | None:
        """Return the cookie of the browser that shows `token`, which is replaced, or `None` if it is not the token.

        A browser that is already admitted keeps its cookie. One too many takes the place of the one that has been
        without a screen for the longest time. If all have one, that whose newest screen is the oldest goes.
        """
        if not _is_same(token, self.token):
            return None
        self.token = _new_token()
        if self.admits(cookie):
            return cookie
        if len(self._browsers) >= self.limit:
            del self._browsers[min(self._browsers, key=lambda browser: self._browsers[browser] > 0)]
        admitted = _new_token()
        self._browsers[admitted] = 0
        return admitted

    def admits(self, cookie: str) -> bool:
        """Return whether a request with this cookie comes from an admitted browser."""
        return any(_is_same(cookie, browser) for browser in self._browsers)

    def count_screen(self, cookie: str, change: int) -> None:
        """Note that the browser with this cookie has opened (1) or closed (-1) a screen."""
        if cookie in self._browsers:
            self._browsers[cookie] = self._browsers.pop(cookie) + change


def _new_token() -> str:
    return secrets.token_urlsafe(32)


def _is_same(given: str, secret: str) -> bool:
    """Compare in a time that does not depend on the characters that agree."""
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())


def is_own_host(host: str) -> bool:
    """Return whether the header Host names this machine, with any port: a tunnel has its own.

    Another name is that of a web page whose address was changed to this machine's (DNS rebinding).
    """
    try:
        return urlsplit(f"//{host}").hostname in LOOPBACK
    except ValueError:
        return False


def is_own_origin(origin: str, host: str) -> bool:
    """Return whether a connection comes from a page of this server."""
    return origin == f"http://{host}"

"""Admission to the server: a token that is spent once, a cookie, and the checks of host and origin."""

from __future__ import annotations

import hmac
import secrets
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
"""Names of this machine's own interface."""


class Gate:
    """Admits the browser that shows the token first, by a cookie from then on."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(24)
        self.pass_value = secrets.token_urlsafe(32)
        """Value of the cookie of the admitted browser."""
        self._is_spent = False

    def spend(self, token: str) -> bool:
        """Return whether `token` is the right one for the first time."""
        is_right = hmac.compare_digest(token.encode(), self.token.encode()) and not self._is_spent
        self._is_spent = self._is_spent or is_right
        return is_right

    def admits(self, cookie: str) -> bool:
        """Return whether a request with this cookie comes from the admitted browser."""
        return self._is_spent and hmac.compare_digest(cookie.encode(), self.pass_value.encode())


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

"""Every action in the command palette, with what it would do now or why it would do nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.screen import Screen
from textual.style import Style

from cockpit.console.text import whole
from cockpit.keys import Key, shown
from cockpit.steering.steering import Steering


class Actions(Provider):
    """Finds actions by their labels, their helps and their names."""

    def __init__(
        self,
        screen: Screen[object],
        match_style: Style | None = None,
        *,
        keys: Sequence[Key],
        steering: Steering,
        dispatch: Callable[[str], object],
    ) -> None:
        super().__init__(screen, match_style)
        self._keys = keys
        self._steering = steering
        self._dispatch = dispatch

    async def discover(self) -> Hits:
        """All of them, before a letter is typed."""
        for key in self._keys:
            yield DiscoveryHit(self._title(key), partial(self._dispatch, key.action), help=self._says(key))

    async def search(self, query: str) -> Hits:
        """Those that match, the best first."""
        matcher = self.matcher(query)
        for key in self._keys:
            title = self._title(key)
            score = max(matcher.match(title), 0.8 * matcher.match(key.help))
            if score > 0:
                yield Hit(score, matcher.highlight(title), partial(self._dispatch, key.action), help=self._says(key))

    def _title(self, key: Key) -> str:
        keys = shown(key)
        return f"{key.label}  ({keys})" if keys else key.label

    def _says(self, key: Key) -> str:
        if not self._steering.handles(key.action):
            return key.help
        effect = self._steering.effect(key.action)
        return whole(f"{key.help}: {effect.text}" if effect.enabled else f"{key.help} - not now: {effect.text}")

"""The command palette: every action with its effect, or why it is not available."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.screen import Screen
from textual.style import Style

from cockpit.preferences.key_binding import KeyBinding, shown
from cockpit.text.format import escape_control
from cockpit.ui.dialogs.dispatcher import ActionDispatcher


class ActionProvider(Provider):
    """Finds actions by label, help and name; those in `withheld` are not on this screen now, each for its reason."""

    def __init__(
        self,
        screen: Screen[object],
        match_style: Style | None = None,
        *,
        keys: Sequence[KeyBinding],
        steering: ActionDispatcher,
        dispatch: Callable[[str], object],
        withheld: Mapping[str, str],
    ) -> None:
        super().__init__(screen, match_style)
        self._keys = keys
        self._steering = steering
        self._dispatch = dispatch
        self._withheld = withheld

    async def discover(self) -> Hits:
        """Yield all actions before a letter is typed, those without effect last."""
        for key in sorted(self._keys, key=lambda key: bool(self._why_not(key))):
            shown_title, do = self._shown(key, Content(self._title(key))), partial(self._dispatch, key.action)
            yield DiscoveryHit(shown_title, do, text=self._title(key), help=self._says(key))

    async def search(self, query: str) -> Hits:
        """Yield the matching actions, the best first."""
        matcher = self.matcher(query)
        for key in self._keys:
            title = self._title(key)
            score = max(matcher.match(title), 0.8 * matcher.match(key.help))
            if score > 0:
                score *= 0.5 if self._why_not(key) else 1.0
                found, do = self._shown(key, matcher.highlight(title)), partial(self._dispatch, key.action)
                yield Hit(score, found, do, text=title, help=self._says(key))

    def _title(self, key: KeyBinding) -> str:
        keys = shown(key)
        return f"{key.label}  ({keys})" if keys else key.label

    def _shown(self, key: KeyBinding, title: Content) -> Content:
        return title.stylize("$foreground 45%") + Content(" - not now") if self._why_not(key) else title

    def _why_not(self, key: KeyBinding) -> str:
        """Return why the action has no effect now; empty string if it has one."""
        if not self._steering.handles(key.action):
            return self._withheld.get(key.action, "")
        effect = self._steering.effect(key.action)
        return "" if effect.enabled else effect.text or "the run has not recorded a state yet"

    def _says(self, key: KeyBinding) -> str:
        if why := self._why_not(key):
            return escape_control(f"{key.help} - not now: {why}")
        foretold = f": {self._steering.effect(key.action).text}" if self._steering.handles(key.action) else ""
        return escape_control(f"{key.help}{foretold}")

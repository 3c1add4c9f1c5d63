"""The config panel: changes since the start, then the resolved config, with a fuzzy search."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.content import Content
from textual.fuzzy import FuzzySearch

from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.format import counted, escape_control
from cockpit.ui.panels.records.config_changes import Change, Changes, since_configured, switches_section
from cockpit.ui.panels.records.config_values import ConfigValues
from cockpit.ui.panels.toolkit.line_list import LineList
from cockpit.ui.panels.toolkit.line_panel import since
from cockpit.ui.panels.toolkit.panel import JumpTo
from cockpit.ui.panels.toolkit.search_panel import SearchedList
from cockpit.ui.panels.toolkit.symbols import LABEL, STRONG, WARN
from engine.protocol.record import record

_KEY_WIDTH: Final = 42


@record
class _Row:
    """A line: a heading without a key, or a key with its value and its change or `None`."""

    key: str
    value: str = ""
    change: Change | None = None


class ConfigPanel(SearchedList):
    """One key per line. Enter on a changed key moves the charts' cursor to the step of the change."""

    TITLE: ClassVar[str] = "Config"
    HELP = (
        "/ searches keys and values; letters may be left out, and escape removes the search. Enter on a changed key "
        "shows its step in the charts."
    )

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.listing.follows = False
        self._values = ConfigValues()
        self._changes = Changes()
        self._last_id = 0
        self._rows: list[_Row] = []
        self._session: Session | None = None

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Read the config and the changes."""
        self._session = session
        for entry in since(session.entries, self._last_id):
            self._last_id = entry.id
            self._changes.add(entry)
        self._fill()

    def seek(self, text: str) -> None:
        """Keep the keys that match."""
        self._fill()

    def _fill(self) -> None:
        if self._session is None:
            return
        values = self._values.all(self._session.run_dir)
        made = self._changes.all(switches_section(values, self._session.spec.component_names))
        changes = [since_configured(change, values) for change in made]
        by_key = {change.key: change for change in changes}
        changed = [_Row(change.key, change.now, change) for change in changes]
        held = [_Row(key, _shown(value), by_key.get(key)) for key, value in values.items()]
        changed, held = _matching(changed, self.sought), _matching(held, self.sought)
        rows = [*([_Row("", "changed since the start"), *changed, _Row("", "")] if changed else ()), *held]
        if rows != self._rows or not self.listing.count:
            self._rows = rows
            self.listing.follows = False
            self.listing.show(len(rows))
        counts = f"{counted(len(values), 'key')}, {len(changes)} changed{self.nothing(len(rows))}"
        self.status.update(escape_control(self._values.notice) or counts)

    def line(self, index: int) -> Content:
        """Return the line of a key: its value and its change."""
        row = self._rows[index]
        if not row.key:
            return Content.styled(row.value, f"bold {WARN}")
        key = escape_control(row.key)
        room = min(_KEY_WIDTH, max(self.listing.size.width // 2, 12))
        gap = " " * max(room - Content(key).cell_length, 2)
        if row.change is None:
            return Content.assemble((key, LABEL), gap, (escape_control(row.value), STRONG))
        change = row.change
        return Content.assemble(
            (key, f"bold {WARN}"),
            gap,
            (escape_control(change.was), LABEL),
            " -> ",
            (escape_control(change.now), f"bold {WARN}"),
            (f"  step {change.step}, {escape_control(change.actor)}", LABEL),
        )

    def on_line_list_chosen(self, event: LineList.Chosen) -> None:
        """Move the charts' cursor to the step of the key's change, or notify that it is unchanged."""
        event.stop()
        row = self._rows[event.index]
        if row.change is not None:
            self.post_message(JumpTo(row.change.step))
        elif row.key:
            self.notify(f"{escape_control(row.key)} has its value from the start", markup=False)


def _matching(rows: list[_Row], sought: str) -> list[_Row]:
    """Return the rows whose key and value contain the letters of `sought` in order."""
    if not sought.strip():
        return rows
    search = FuzzySearch()
    wanted = sought.replace(" ", "")
    return [row for row in rows if search.match(wanted, f"{row.key} {row.value}")[0] > 0]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)

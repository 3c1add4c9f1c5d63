"""The keys of the list of runs, each with its action and its help."""

from __future__ import annotations

from typing import Final

from cockpit.preferences.key_binding import KeyBinding

RUN_KEYS: Final[tuple[KeyBinding, ...]] = (
    KeyBinding(
        "run_attach", ("enter",), "open", "open the screen on the run; leaving it comes back here", "runs", True
    ),
    KeyBinding("run_filter", ("/",), "filter", "type a filter; enter keeps it, escape removes it", "runs", True),
    KeyBinding("run_mark", ("space",), "mark", "mark the run, or unmark it", "runs", True),
    KeyBinding("run_compare", ("c",), "compare", "compare the marked runs", "runs", True),
    KeyBinding("run_sort", ("s",), "sort", "sort by the next column; a click on a title sorts by it", "runs", True),
    KeyBinding("run_reverse", ("S",), "reverse", "sort in the other direction", "runs"),
    KeyBinding("run_note", ("n",), "note", "write a note on the run", "runs", True),
    KeyBinding("run_tags", ("t",), "tags", "set the tags of the run", "runs", True),
    KeyBinding("run_rename", ("r",), "rename", "give a run that no process uses another name", "runs", True),
    KeyBinding(
        "run_delete", ("x", "delete"), "delete", "delete a run that no process uses; its name confirms it", "runs", True
    ),
    KeyBinding("run_path", ("o",), "path", "show where the run is", "runs", True),
    KeyBinding("run_clear", ("escape",), "clear", "remove the filter, then the marks", "runs"),
    KeyBinding("run_help", ("?", "f1"), "keys", "all keys of the list, and the language of its filter", "runs", True),
    KeyBinding("run_quit", ("q",), "quit", "leave; no run is affected", "runs", True),
)
"""Every action of the list in the order of help; each key occurs once."""

"""The key table: every key of the cockpit, its action and its help, and the remapping of keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from cockpit.preferences.key_binding import KeyBinding
from cockpit.preferences.key_names import checked_key
from engine.errors import UserError, did_you_mean
from engine.protocol.task_spec import TaskSpec

_TOGGLE: Final = "toggle_"

_TOGGLES: Final = tuple(
    KeyBinding(
        f"{_TOGGLE}{number}",
        (str(number),),
        f"component {number}",
        f"switch the task's component {number} on or off",
        "steer",
    )
    for number in range(1, 10)
)

_STEER: Final = (
    KeyBinding("pause", ("space",), "pause/resume", "pause at the next step boundary, or resume", "steer", True),
    KeyBinding("step", ("n",), "one step", "take one step, then pause", "steer", True),
    KeyBinding("lower_lr", ("l",), "LR lower", "halve the learning rate", "steer", True),
    KeyBinding("raise_lr", ("L",), "LR raise", "double the learning rate", "steer", True),
    KeyBinding("set_lr", ("e",), "set LR", "set the learning rate to an exact value", "steer"),
    KeyBinding("promote", ("p",), "promote", "show the gate to the next phase and promote", "steer", True),
    KeyBinding("demote", ("P",), "demote", "go back to the previous phase", "steer"),
    *_TOGGLES,
    KeyBinding("weight", ("w",), "loss weight", "set the weight of a loss term", "steer"),
    KeyBinding("knob", ("K",), "knob", "set a knob, a setting of the training's own code", "steer"),
    KeyBinding("checkpoint", ("c",), "checkpoint", "write a checkpoint now", "steer", True),
    KeyBinding(
        "rollback", ("r",), "roll back", "load a checkpoint of this run; changes by hand are kept", "steer", True
    ),
    KeyBinding("validate", ("v",), "validate", "run a validation now", "steer"),
    KeyBinding("optimizer", ("o",), "optimizer", "choose between Adam and AdamW; the moments are kept", "steer"),
    KeyBinding("batch", ("b",), "batch", "set batches per update and samples per batch", "steer"),
    KeyBinding("clip", ("k",), "clip", "set the bound of the gradient norm", "steer"),
    KeyBinding("note", ("N",), "note", "write a note into the run's journal", "steer"),
    KeyBinding("undo", ("u",), "undo", "undo the last intervention by hand, if possible", "steer", True),
    KeyBinding("guardian", ("G",), "guardian", "switch the guardian's auto-recovery on or off", "steer"),
    KeyBinding("autopilot", ("T",), "autopilot", "switch promotion by the autopilot on or off", "steer"),
    KeyBinding("acknowledge", ("a",), "acknowledge", "acknowledge the alert that is shown", "steer"),
    KeyBinding("remedies", ("A",), "remedies", "show remedies for the newest alert", "steer"),
)

_CHARTS: Final = (
    KeyBinding("cursor_left", ("left",), "cursor left", "move the cursor one column to the left", "charts"),
    KeyBinding("cursor_right", ("right",), "cursor right", "move the cursor one column to the right", "charts"),
    KeyBinding("cursor_first", ("home",), "first step", "put the cursor on the first step shown", "charts"),
    KeyBinding("cursor_last", ("end",), "last step", "put the cursor on the last step shown", "charts"),
    KeyBinding("zoom_in", ("+", "="), "zoom in", "show fewer steps, wider", "charts", True),
    KeyBinding("zoom_out", ("-",), "zoom out", "show more steps, narrower", "charts"),
    KeyBinding("pan_left", ("[",), "pan left", "show earlier steps", "charts"),
    KeyBinding("pan_right", ("]",), "pan right", "show later steps", "charts"),
    KeyBinding("whole_run", ("0",), "whole run", "show the whole run", "charts"),
    KeyBinding("follow", ("f",), "follow", "follow the newest step: on or off", "charts", True),
    KeyBinding("log_scale", ("g",), "log scale", "switch between a logarithmic and a linear axis", "charts"),
    KeyBinding(
        "smoothing", ("s",), "smoothing", "smooth the curves more, or not at all; the raw curve stays", "charts"
    ),
    KeyBinding("maximise", ("m",), "maximise", "maximise one chart, or restore it", "charts", True),
    KeyBinding("recent", ("x",), "recent steps", "show the recent steps in a second pane, in full", "charts"),
    KeyBinding("x_axis", ("X",), "x axis", "go by step, epoch or running time", "charts"),
    KeyBinding("baseline", ("B",), "baseline", "show or hide the curves of the baseline and of the parent", "charts"),
    KeyBinding("lock_range", ("y",), "lock y", "keep the range of one chart's values, or let it follow", "charts"),
    KeyBinding("choose_metrics", ("/",), "metrics", "choose which metrics are drawn", "charts", True),
    KeyBinding("next_chart", ("tab",), "next chart", "go to the next chart", "charts"),
    KeyBinding("previous_chart", ("shift+tab",), "previous chart", "go to the previous chart", "charts"),
    KeyBinding("clear_cursor", ("escape",), "clear cursor", "remove the cursor", "charts"),
)

_LOOK: Final = (
    KeyBinding("show_charts", ("f2",), "charts", "the curves", "look"),
    KeyBinding("show_run", ("f3",), "run", "phases, modules and safety", "look"),
    KeyBinding("show_preview", ("f4",), "preview", "validation images with the network's predictions", "look"),
    KeyBinding("show_events", ("f5",), "events", "everything that happened", "look"),
    KeyBinding("show_log", ("f6",), "log", "the program's output, warnings included", "look"),
    KeyBinding("show_config", ("f7",), "config", "the resolved config, and changes since the start", "look"),
    KeyBinding("show_layers", ("f8",), "layers", "gradient, weights, update and zeros of every layer", "look"),
    KeyBinding("histogram", ("h",), "histogram", "histograms of a layer: those kept, or new ones", "look"),
    KeyBinding("previous_tab", (",",), "previous tab", "go to the previous tab", "look"),
    KeyBinding("next_tab", (".",), "next tab", "go to the next tab", "look"),
)

_APP: Final = (
    KeyBinding("help", ("f1",), "help", "help for the current tab", "app", True),
    KeyBinding("key_map", ("?",), "keys", "all keys", "app", True),
    KeyBinding("palette", ("ctrl+p", ":"), "palette", "find an action by its name", "app"),
    KeyBinding("theme", ("t",), "theme", "switch to the next theme: dark, light and others", "app"),
    KeyBinding(
        "screenshot",
        ("S",),
        "screenshot",
        "save the screen as an SVG, read-only in the current directory",
        "app",
    ),
    KeyBinding("previous_run", ("<",), "previous run", "go to the run above this one in the list of runs", "app"),
    KeyBinding("next_run", (">",), "next run", "go to the run below this one in the list of runs", "app"),
    KeyBinding("detach", ("D",), "detach", "close the screen; the training goes on in the background", "app", True),
    KeyBinding("quit", ("q",), "quit", "stop the run with a checkpoint, detach from it, or cancel", "app", True),
)

KEYS: Final[tuple[KeyBinding, ...]] = (*_STEER, *_CHARTS, *_LOOK, *_APP)
"""Every action in the order of help; each key occurs once."""


def attached_keys(keys: Iterable[KeyBinding]) -> tuple[KeyBinding, ...]:
    """Return the table for a screen that is attached to a run: to quit is to leave."""
    return tuple(
        replace(key, label="leave", help="leave the screen; the run goes on") if key.action == "quit" else key
        for key in keys
    )


def keys_for(keys: Iterable[KeyBinding], spec: TaskSpec) -> tuple[KeyBinding, ...]:
    """Return the table for a task: its components by name, and no key beyond its components."""
    named = (_named(key, spec) if key.action.startswith(_TOGGLE) else key for key in keys)
    return tuple(key for key in named if key is not None)


def _named(key: KeyBinding, spec: TaskSpec) -> KeyBinding | None:
    """Return a component's key with the component's name; `None` if the task has fewer components."""
    number = int(key.action.removeprefix(_TOGGLE))
    if number > len(spec.components):
        return None
    component = spec.components[number - 1]
    about = f": {component.title}" if component.title else ""
    return replace(key, label=component.name.replace("_", " "), help=f"switch {component.name} on or off{about}")


def lookup(action: str, keys: Iterable[KeyBinding] = KEYS) -> KeyBinding:
    """Return the row of `action`. Raises UserError with the nearest action for an unknown one."""
    rows = {key.action: key for key in keys}
    if action not in rows and action.startswith(_TOGGLE):
        first, last = _TOGGLES[0].action, _TOGGLES[-1].action
        raise UserError(f"no action is called {action!r}: components are switched by their place, {first} to {last}")
    if action not in rows:
        raise UserError(f"no action is called {action!r}: {did_you_mean(action, rows)}")
    return rows[action]


def remap(wanted: Mapping[str, Sequence[str]], keys: Iterable[KeyBinding] = KEYS) -> tuple[KeyBinding, ...]:
    """Return the table with the actions in `wanted` on those keys; actions without keys stay in the palette.

    If another action is put on a component's number, that number is removed from the component.

    Raises UserError for an unknown action, a key that no terminal sends, and a key of two actions.
    """
    table = tuple(keys)
    for action in wanted:
        lookup(action, table)
    changed = tuple(
        replace(key, keys=tuple(checked_key(name, key.action) for name in wanted[key.action]))
        if key.action in wanted
        else key
        for key in table
    )
    taken = {name for key in changed if key.action in wanted for name in key.keys}
    changed = tuple(_left_to(key, taken) if key.action not in wanted else key for key in changed)
    _refuse_shared_keys(changed)
    return changed


def _left_to(key: KeyBinding, taken: set[str]) -> KeyBinding:
    """Return a component's row without the keys in `taken`; rows of other actions are unchanged."""
    if not key.action.startswith(_TOGGLE):
        return key
    return replace(key, keys=tuple(name for name in key.keys if name not in taken))


def _refuse_shared_keys(keys: Iterable[KeyBinding]) -> None:
    taken: dict[str, str] = {}
    for name, action in ((name, key.action) for key in keys for name in key.keys):
        if (other := taken.setdefault(name, action)) != action:
            raise UserError(f"the key {name!r} is on both {other!r} and {action!r}: give one of them another")

"""User settings: keys, theme, marker, bell, notifications and hang-ups, read from one YAML file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from cockpit.preferences.key_binding import KeyBinding
from cockpit.preferences.keymap import KEYS, remap
from cockpit.preferences.run_keys import RUN_KEYS
from cockpit.terminal.encoding import shows_unicode
from engine.errors import UserError, did_you_mean
from engine.protocol.record import record

_RUN_ACTIONS: Final = frozenset(key.action for key in RUN_KEYS)

Marker = Literal["braille", "block", "ascii"]
Notifications = Literal["off", "osc9", "osc777"]
OnHangup = Literal["checkpoint", "keep"]

FOLDER: Final = "training-cockpit"
SETTINGS_FILE: Final = "cockpit.yaml"
ATTACH_LOG: Final = "attach.log"
MAX_POLL_RATE: Final = 10.0


@record
class Settings:
    """Settings of the cockpit; `poll_rate` is in reads of the journal per second, above 0 and at most 10.

    `on_hangup` is the effect of a closed terminal on the training behind its screen: it stops with a checkpoint, or is
    detached.
    """

    keys: tuple[KeyBinding, ...] = KEYS
    run_keys: tuple[KeyBinding, ...] = RUN_KEYS
    theme: str = "cockpit-dark"
    marker: Marker = "braille"
    bell: bool = False
    notifications: Notifications = "off"
    reduced_motion: bool = False
    poll_rate: float = MAX_POLL_RATE
    on_hangup: OnHangup = "checkpoint"
    notify: tuple[str, ...] = field(default=(), repr=False)
    """Addresses for messages about runs, which contain secrets."""


def settings_file() -> Path:
    """Return the path of the settings: training-cockpit/cockpit.yaml in XDG_CONFIG_HOME, else in ~/.config."""
    return _xdg("XDG_CONFIG_HOME", ".config") / SETTINGS_FILE


def attach_log() -> Path:
    """Return the file for the output of attached screens, in the folder of the cockpit's state, which is created.

    Return the null device if the folder cannot be written.
    """
    folder = state_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(os.devnull)
    return folder / ATTACH_LOG if os.access(folder, os.W_OK) else Path(os.devnull)


def state_folder() -> Path:
    """Return the folder of the cockpit's state: training-cockpit in XDG_STATE_HOME, else in ~/.local/state."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def cache_folder() -> Path:
    """Return the folder of what can be computed again: training-cockpit in XDG_CACHE_HOME, else in ~/.cache."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def _xdg(variable: str, default: str) -> Path:
    """Return the program's folder in a base directory; the standard ignores a relative path in the variable."""
    named = Path(os.environ.get(variable, ""))
    return (named if named.is_absolute() else Path.home() / default) / FOLDER


def load_settings(path: Path) -> Settings:
    """Return the settings in the file `path`, or the defaults if it does not exist.

    The default marker is ASCII on a terminal without Unicode. Raises UserError with file and line for an unknown key or
    an invalid value.
    """
    marker: Marker = "braille" if shows_unicode() else "ascii"
    try:
        is_there = path.is_file()
    except PermissionError:  # a home directory that this user may not enter
        is_there = False
    if not is_there:
        return Settings(marker=marker)
    # Importing YAML takes 30 ms of a start, and usually there is no such file.
    from engine.config.files.yaml_source import read_settings  # noqa: PLC0415

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', 'not UTF-8 text')})") from None
    changes: dict[str, Any] = {"marker": marker}
    keys: dict[str, tuple[str, ...]] = {}
    where_keys = ""
    for (name, *below), setting in read_settings(text, str(path)).items():
        if name == "keys":
            where_keys = setting.where
            keys.update(_key(below, setting.value, setting.where))
        elif name == "notify":
            changes[name] = _addresses(below, setting.value, setting.where)
        else:
            changes[name] = _checked(name, below, setting.value, setting.where)
    try:
        of_runs = {action: wanted for action, wanted in keys.items() if action in _RUN_ACTIONS}
        of_screen = {action: wanted for action, wanted in keys.items() if action not in of_runs}
        return replace(Settings(**changes), keys=remap(of_screen), run_keys=remap(of_runs, RUN_KEYS))
    except UserError as error:
        raise UserError(f"{where_keys}: {error}") from None


def _key(below: list[str], value: object, where: str) -> Mapping[str, tuple[str, ...]]:
    """Return the keys that one line gives to an action: a word, a list of words, or an empty list for none."""
    if not below and value in (None, {}):
        return {}
    if len(below) != 1:
        raise UserError(f"{where}: keys is a mapping of actions, like 'pause: space'")
    words = value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType]
    if not all(isinstance(word, str | int) and not isinstance(word, bool) for word in words):  # pyright: ignore[reportUnknownVariableType]
        raise UserError(f"{where}: the key of {below[0]!r} is a word such as space, or a list of such")
    return {below[0]: tuple(str(word) for word in words)}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _addresses(below: list[str], value: object, where: str) -> tuple[str, ...]:
    """Return the addresses of one line or a list; a mistake is reported without them, as they contain secrets."""
    words = [value] if isinstance(value, str) else value
    if not below and isinstance(words, list) and all(isinstance(word, str) and word for word in words):  # pyright: ignore[reportUnknownVariableType]
        return tuple(str(word) for word in words)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if value is None and not below:
        return ()
    raise UserError(f"{where}: notify must be an address such as mailto://..., or a list of addresses")


def _checked(name: str, below: list[str], value: object, where: str) -> object:
    if name not in _CHECKS:
        raise UserError(f"{where}: there is no setting {name!r}; {did_you_mean(name, ('keys', 'notify', *_CHECKS))}")
    expected, is_allowed = _CHECKS[name]
    if below or not is_allowed(value):
        raise UserError(f"{where}: {name} must be {expected}, not {value!r}")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_POLL_RATE


def _one_of(*words: str) -> tuple[str, Callable[[object], bool]]:
    return f"one of {', '.join(words)}", lambda value: value in words


_SWITCH: Final = ("true or false", lambda value: isinstance(value, bool))  # pyright: ignore[reportUnknownLambdaType, reportUnknownVariableType]

_CHECKS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "theme": ("the name of a theme", lambda value: isinstance(value, str) and bool(value)),
    "marker": _one_of(*get_args(Marker)),
    "bell": _SWITCH,
    "notifications": _one_of(*get_args(Notifications)),
    "reduced_motion": _SWITCH,
    "on_hangup": _one_of(*get_args(OnHangup)),
    "poll_rate": (f"a number above 0 and at most {MAX_POLL_RATE:g}", _is_number),
}

"""The files of configurations: those in configs/ by their names, and others by their paths."""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import Final

from engine.errors import UserError, did_you_mean, nearest
from engine.protocol.record import record

CONFIGS_DIR: Final = (Path(__file__).parents[1] / "named").resolve()
"""The folder of named configurations.

It is `configs/` in a checkout, to which `named` links, or the copy in an installed wheel.
"""
SUFFIXES: Final = (".yaml", ".yml")


@record
class NamedConfig:
    """A configuration in configs/: its name, the first comment line of its file, and the file."""

    name: str
    description: str
    path: Path


def list_configs() -> tuple[NamedConfig, ...]:
    """Return every configuration in configs/, by name."""
    return tuple(NamedConfig(path.stem, _first_comment(path), path) for path in sorted(CONFIGS_DIR.glob("*.yaml")))


def find_file(name_or_path: str, folder: Path, asked_at: str) -> Path:
    """Return the file of a name in configs/, or of a path relative to `folder`.

    `asked_at` is the origin of the reference, for the error message.
    """
    text = name_or_path
    if "\0" not in text and (text.endswith(SUFFIXES) or "/" in text):
        return _existing(folder, text, asked_at)
    names = {config.name: config.path for config in list_configs()}
    if text not in names:
        raise UserError(f"{asked_at}: there is no config {text!r} in configs/; {did_you_mean(text, names)}")
    return names[text]


def _existing(folder: Path, text: str, asked_at: str) -> Path:
    path = folder / os.path.expanduser(text)
    if _is_file(path):
        return path
    match = nearest(Path(text).stem, [config.name for config in list_configs()])
    hint = f"; did you mean the named config {match!r}?" if match else "; give a YAML file or a name in configs/"
    raise UserError(f"{asked_at}: there is no config file {text!r}{hint}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no permission, or a name that is too long
        return False


def read_text(path: Path, source: str) -> str:
    """Return the text of the file `path`. Raises UserError, which names it by `source`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not UTF-8 text at byte {error.start}") from None
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror})") from None


def shown_path(path: Path) -> str:
    """Return the path on one line, relative to the working directory if it is inside."""
    absolute, here = path.absolute(), Path.cwd()
    text = str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _first_comment(path: Path) -> str:
    lines = read_text(path, shown_path(path)).splitlines()
    return next((line.lstrip("# ").rstrip() for line in lines if line.startswith("#")), "")

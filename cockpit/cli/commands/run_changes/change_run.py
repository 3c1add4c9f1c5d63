"""`main.py runs note|tag|rename|delete RUN`: change one run of the list."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cockpit.cli.output import print_lines
from cockpit.text.format import escape_control
from engine.errors import UserError
from engine.journal.disk.find_run import find_run
from engine.journal.disk.labels import change_tags, set_note
from engine.journal.disk.manage import delete_run, rename_run

NEEDS_YES: Final = 1
"""Exit code of a deletion that was not confirmed."""

_RUNS_DIR: Final = "--runs-dir"


def run_change(arguments: argparse.Namespace) -> int:
    """Change the run that the arguments name, and print what came of it. Raises UserError."""
    if arguments.action == "tag":
        _take_runs_dir(arguments)
    path = find_run(arguments.runs_dir, arguments.run)
    return _CHANGES[arguments.action](path.absolute(), arguments)


def _note(path: Path, arguments: argparse.Namespace) -> int:
    text = " ".join(arguments.words)
    set_note(path, text)
    return _done(f"the note of {path.name} is {'written' if text.strip() else 'removed'}")


def _tag(path: Path, arguments: argparse.Namespace) -> int:
    if not arguments.words:
        raise UserError("runs tag needs a change: +TAG adds a tag, -TAG removes one")
    tags = change_tags(path, arguments.words)
    return _done(f"{path.name}: {' '.join(tags) or 'no tags'}")


def _rename(path: Path, arguments: argparse.Namespace) -> int:
    return _done(f"{path.name} is called {rename_run(path, arguments.name).name} now")


def _delete(path: Path, arguments: argparse.Namespace) -> int:
    if not arguments.yes:
        _done(f"{path} would be deleted with all of its files: confirm it with --yes")
        return NEEDS_YES
    delete_run(path)
    return _done(f"{path.name} is deleted")


_CHANGES: Final[Mapping[str, Callable[[Path, argparse.Namespace], int]]] = {
    "note": _note,
    "tag": _tag,
    "rename": _rename,
    "delete": _delete,
}


def _done(line: str) -> int:
    print_lines([escape_control(line)])
    return 0


def _take_runs_dir(arguments: argparse.Namespace) -> None:
    """Take `--runs-dir DIR` from the words of `tag`, all of which argparse leaves unread because of their signs."""
    words: list[str] = arguments.words
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option == _RUNS_DIR and (equals or place + 1 < len(words)):
            arguments.runs_dir = Path(value if equals else words[place + 1])
            del words[place : place + (1 if equals else 2)]
            return

"""Rename, note, tag and delete runs from the list: the dialogs, the changes, and what is said about them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from cockpit.session.run_list.listed_run import ListedRun
from cockpit.ui.screens.runs.prompt import TextPrompt
from engine.errors import UserError
from engine.journal.disk.labels import set_note, set_tags
from engine.journal.disk.manage import delete_run, rename_run
from engine.journal.disk.run_dir import check_name


class EditedList(Protocol):
    """The screen whose runs are changed."""

    def ask(self, prompt: TextPrompt, answered: Callable[[str | None], None]) -> None:
        """Open a dialog; `answered` receives its text, `None` if it was cancelled."""
        ...

    def say(self, text: str, *, is_wrong: bool = False) -> None:
        """Show a sentence for a few seconds."""
        ...

    def has_changed(self, run: ListedRun, path: Path | None) -> None:
        """Take note that `run` is at `path` now, `None` if it is deleted."""
        ...


class RunEditor:
    """Changes single runs of a list. A run that a process uses is neither renamed nor deleted."""

    def __init__(self, screen: EditedList) -> None:
        self._screen = screen
        self._tasks: set[asyncio.Task[None]] = set()

    def rename(self, run: ListedRun) -> None:
        """Ask for another name of `run`."""
        if self._is_in_use(run, "renamed"):
            return
        explain = (f"The new name of {run.name}. The former one still finds it.",)
        prompt = TextPrompt("Rename", explain, value=run.name, check=_wrong_name)
        self._ask(prompt, run, self._rename)

    def note(self, run: ListedRun) -> None:
        """Ask for the note of `run`."""
        prompt = TextPrompt("Note", (f"A note on {run.name}; empty for none.",), value=run.labels.note)
        self._ask(prompt, run, self._note)

    def tags(self, run: ListedRun) -> None:
        """Ask for the tags of `run`."""
        explain = (f"The tags of {run.name}, separated by blanks; empty for none.",)
        self._ask(TextPrompt("Tags", explain, value=" ".join(run.labels.tags)), run, self._tags)

    def delete(self, run: ListedRun, branches: int) -> None:
        """Ask for the name of `run` to confirm that it is deleted; `branches` runs continue it."""
        if self._is_in_use(run, "deleted"):
            return
        explain = [f"{run.path} is deleted with its checkpoints, its journal and all other files. Nothing restores it."]
        if branches:
            explain.append(f"{branches} {'runs continue' if branches > 1 else 'run continues'} it and will be kept.")
        explain.append(f"Type its name to confirm: {run.name}")
        prompt = TextPrompt("Delete", explain, check=partial(_wrong_confirmation, run.name), danger=True)
        self._ask(prompt, run, self._delete)

    def _is_in_use(self, run: ListedRun, change: str) -> bool:
        writer = None if run.facts is None else run.facts.writer
        if run.is_live and writer is not None:
            said = f"{run.name} cannot be {change}: process {writer.pid} uses it, stop it first"
            self._screen.say(said, is_wrong=True)
        return run.is_live

    def _ask(self, prompt: TextPrompt, run: ListedRun, change: Callable[[ListedRun, str], str]) -> None:
        def answered(text: str | None) -> None:
            if text is not None:
                task = asyncio.get_running_loop().create_task(self._apply(run, text, change))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

        self._screen.ask(prompt, answered)

    async def _apply(self, run: ListedRun, text: str, change: Callable[[ListedRun, str], str]) -> None:
        """Make a change in another thread, as deleting takes a while, and say what came of it."""
        try:
            said = await asyncio.to_thread(change, run, text)
        except (UserError, OSError) as error:
            self._screen.say(str(error), is_wrong=True)
            self._screen.has_changed(run, run.path)
        else:
            is_deleted, is_renamed = change == self._delete, change == self._rename
            self._screen.has_changed(run, None if is_deleted else run.path.with_name(text) if is_renamed else run.path)
            self._screen.say(said)

    def _rename(self, run: ListedRun, text: str) -> str:
        return f"{run.name} is called {rename_run(run.path, text).name} now"

    def _note(self, run: ListedRun, text: str) -> str:
        set_note(run.path, text)
        return f"the note of {run.name} is {'written' if text else 'removed'}"

    def _tags(self, run: ListedRun, text: str) -> str:
        set_tags(run.path, text.replace(",", " ").split())
        return f"the tags of {run.name} are {'written' if text else 'removed'}"

    def _delete(self, run: ListedRun, text: str) -> str:
        delete_run(run.path)
        return f"{run.name} is deleted"


def _wrong_name(text: str) -> str:
    try:
        check_name(text)
    except UserError as error:
        return str(error)
    return ""


def _wrong_confirmation(name: str, text: str) -> str:
    return "" if text == name else f"type {name} to delete it, or cancel"

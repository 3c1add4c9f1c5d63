"""A count of the calls of `decide` in the cockpit."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from engine.protocol import decide as rules
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome
from engine.protocol.state import RunState


class Decisions:
    """Every call of `decide` in a module of the cockpit, oldest first, with the state that it was on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[RunState, Command]] = []
        self._decide = rules.decide
        for name, module in list(sys.modules.items()):
            if name.startswith("cockpit.") and getattr(module, "decide", None) is self._decide:
                monkeypatch.setattr(module, "decide", self._counted)

    @property
    def commands(self) -> list[Command]:
        """The commands that were decided."""
        return [command for _, command in self.made]

    def take(self) -> list[Command]:
        """Return the commands that were decided since the last call."""
        taken, self.made = self.commands, []
        return taken

    def _counted(self, state: RunState, command: Command, **more: Any) -> Outcome:
        self.made.append((state, command))
        return self._decide(state, command, **more)

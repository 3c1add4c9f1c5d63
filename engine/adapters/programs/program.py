"""Run an untouched program as a child process, and record and steer the training in it."""

from __future__ import annotations

import math
import signal
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from engine.adapters.capabilities import NO_LINE, SEVERAL_RANKS
from engine.adapters.child.link import GONE
from engine.adapters.hooks.survive import say
from engine.adapters.programs.child_process import end_child, last_line, start_child
from engine.adapters.programs.command import Program
from engine.adapters.programs.connection import Connection, Listener
from engine.adapters.programs.processes import Processes
from engine.adapters.programs.program_end import ProgramEnd
from engine.adapters.programs.remote_state import RemoteState
from engine.adapters.programs.sent_rows import reading_of
from engine.adapters.run.attached_run import AttachedRun, TrainingStopped
from engine.adapters.run.settings import NoValidation, attached_config
from engine.errors import UserError
from engine.journal.sender import Sender
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.state import Limits, RunState
from engine.protocol.task_spec import Phase, TaskSpec
from engine.runtime.host.interrupt import Interrupt

_POLL_SECONDS: Final = 0.05
_GRACE_SECONDS: Final = 10.0
"""Seconds from a request to stop until a program that does not reach a step boundary is terminated."""
_OWN_GRACE_SECONDS: Final = 60.0
"""The same for a program with a cockpit of its own, which may evaluate and save after its last step."""


def run_program(program: Program, interrupt: Interrupt) -> int:
    """Run the program to its end and return the exit code: 0, its own failure as 1, or 128 + n after signal n."""
    return _Supervised(program, interrupt).run()


class _Supervised:
    """One program, its connection, and the run that records it."""

    def __init__(self, program: Program, interrupt: Interrupt) -> None:
        self._program = program
        self._interrupt = interrupt
        self._live = RemoteState()
        self._run = AttachedRun(program.directory, attached_config(), self._live, NoValidation())
        self._run.on_attention = self._ask
        self._run.interrupt = interrupt
        self._processes = Processes()
        self._is_stopped = self._is_released = False
        self._grace = _GRACE_SECONDS
        self._is_broken = False
        self._lock = threading.Lock()
        self._had_step = False

    def run(self) -> int:
        """Run the program. Raises UserError if the run's directory cannot be used."""
        program = self._program
        described = {
            "adapter": NO_LINE.name,
            "program": Path(program.command.name).name,
            "config": {"command": list(program.command.words)},
        }
        self._run.open(_first_state(program), described)
        with tempfile.TemporaryDirectory(prefix="cockpit-") as folder:
            listener = Listener(Path(folder) / "link", self._connected)
            try:
                return self._supervise(listener)
            except BaseException as error:
                self._run.fail(error)
                raise
            finally:
                listener.close()

    def _supervise(self, listener: Listener) -> int:
        child = start_child(self._program, listener.address)
        self._interrupt.holds_program = True
        end: ProgramEnd | None = None
        is_interrupted = was_stopped = False
        try:
            while child.poll() is None:
                time.sleep(_POLL_SECONDS)
                if self._interrupt.is_set() and not is_interrupted:
                    is_interrupted = True
                    was_stopped = end is not None and self._interrupt.signal in (signal.SIGINT, signal.SIGTERM)
                    self._ask()
                if end is None and (is_interrupted or self._is_stopped or self._run.is_stop_waiting):
                    end = ProgramEnd(child, Path(self._program.command.name).name, self._tell)
                if end is not None:
                    end.turn(self._grace, insists=was_stopped or self._interrupt.num_repeated > 0)
        finally:
            self._interrupt.holds_program = False
            if child.poll() is None:
                end_child(child, signal.SIGKILL)
        listener.drain()
        return self._ended(child.returncode)

    def _tell(self, sentence: str, remedy: str) -> None:
        """Say something about the end of the program, in the run's journal or, if that is closed, on the console."""
        if self._run.is_over:
            say(f"{sentence}{f'; {remedy}' if remedy else ''}")
        else:
            self._run.record(e.AlertRaised("stop", sentence, remedy))

    def _ended(self, code: int) -> int:
        if self._run.is_stop_waiting and code <= 0:  # the program has reached no boundary since
            with suppress(TrainingStopped):
                self._run.boundary()
            self._is_stopped = True
        if self._is_stopped or (self._interrupt.is_set() and code <= 0):
            self._run.end("stopped", checkpoint=False)
            return self._interrupt.exit_code()
        if code == 0:
            self._interrupt.is_complete = True
            reason = "complete" if self._had_step else "ended without an optimizer step: nothing was recorded"
            self._run.end(reason, checkpoint=False)
            return 0
        how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        last = last_line(self._program)
        self._run.fail_with(f"the program {how}{f': {last}' if last else ''}")
        return 1

    # --- connection -----------------------------------------------------------------------

    def _connected(self, connection: Connection) -> None:
        """Serve one process of the program until it ends, in a thread of its own."""
        try:
            for message in connection.messages():
                try:
                    self._take(connection, message)
                except TrainingStopped:
                    self._is_stopped = True
                    self._live.control["activity"] = "stopping"
                    self._go_on(connection)
        finally:
            self._processes.leave(connection)

    def _take(self, connection: Connection, message: Mapping[str, Any]) -> None:
        if "hello" in message:
            self._greet(connection, message["hello"])
        elif "own_run" in message:
            connection.say({"released": self._make_way(message["own_run"])})
        elif "detached" in message:
            self._note_detached(message["detached"])
        elif connection is self._processes.first:
            self._take_of_first(connection, message)
        elif "holding" in message:
            self._processes.note_heard(connection, message["holding"])
        elif "at" in message:
            connection.say({"go": self._processes.await_decision(connection) or self._live.control})

    def _note_detached(self, why: str) -> None:
        sentence = f"the cockpit detached itself from the program{why}"
        self._run.record(e.AlertRaised("detached", sentence, "see console.log"))
        if self._processes.are_together:  # the others would train with another rate than this process
            self._is_broken = True
            self._ask()

    def _take_of_first(self, connection: Connection, message: Mapping[str, Any]) -> None:
        """Take what the process says that is recorded."""
        self._live.layers = message.get("layers", self._live.layers)
        for row in message.get("rows", ()):
            self._had_step = True
            self._run.add(reading_of(row))
        if "hold" in message:
            self._processes.announce(message["hold"])
            connection.say({"held": message["hold"]})
        if "at" in message:
            self._run.boundary()
            self._live.adopt(self._run.recorder.state)
            self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """Let all processes go on with what was decided while rank 0 held."""
        control = {**self._live.control, **({"activity": GONE} if self._is_broken else {})}
        self._processes.decide(control)
        connection.say({"go": {**control, "histograms": self._live.take_requests()}})

    def _greet(self, connection: Connection, hello: Mapping[str, Any]) -> None:
        is_first = self._processes.join(connection, hello)
        with self._lock:
            if is_first:
                self._live.hello = hello
                self._describe(hello)
                self._run.announce()
            self._live.adopt(self._run.recorder.state)
        connection.say({"go": {**self._live.control, "together": self._processes.are_together}})

    def _make_way(self, elsewhere: str) -> str:
        """Let the program record itself, from now on or in the directory `elsewhere`. Return this run's directory.

        It is empty if this run has steps or the program records elsewhere: then this run ends.
        """
        with self._lock:
            if self._run.is_over:
                return ""
            if elsewhere or self._had_step:
                where = f" in {elsewhere}" if elsewhere else ""
                self._run.end(f"the program records itself{where}", checkpoint=False)
                return ""
            self._run.release()
            self._is_released, self._grace = True, _OWN_GRACE_SECONDS
            return str(self._program.directory.absolute())

    def _describe(self, hello: Mapping[str, Any]) -> None:
        """Add what the program said of itself: the bounds of its rate, and whether some ranks are out of reach."""
        rate = max((value for value in hello["rates"] if math.isfinite(value)), default=0.0)
        self._run.set_limits(Limits(lr_max=max(10 * rate, 1e-2), lr_configured=rate, max_gradient_clip=math.inf))
        if not self._processes.are_all:
            spec = self._run.spec
            known = {one.op for one in spec.unsupported}
            more = tuple(one for one in SEVERAL_RANKS if one.op not in known)
            self._run.record(e.TaskDescribed(replace(spec, unsupported=(*spec.unsupported, *more))))

    def _ask(self) -> None:
        """Ask the program to hold at its next step boundary; one that records itself, to stop."""
        if self._is_released:
            actor, reason = self._interrupt.cause()
            with suppress(UserError), closing(Sender(self._program.directory)) as sender:
                sender.send(c.Stop(), actor, reason)
        elif self._processes.first is not None:
            self._processes.first.say({"attend": True})


def _first_state(program: Program) -> RunState:
    """Return the state of a run before its program says anything."""
    name = Path(program.command.name)
    return RunState(
        run=program.directory.name,
        spec=TaskSpec(name=name.stem, phases=(Phase("training"),), unsupported=NO_LINE.unsupported(), knows_data=False),
        gradient_clip=math.inf,
        optimizer="",
        guardian=False,
        doing=f"starting {name.name}",
        limits=Limits(lr_max=1.0, max_gradient_clip=math.inf),
    )

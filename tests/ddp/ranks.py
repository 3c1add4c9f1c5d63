"""Start the ranks of a small training as processes that share the import of torch, and read what became of each."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.protocol import events as e
from engine.protocol.codec import to_text
from engine.protocol.state import Decided
from engine.protocol.words.command_syntax import parse_command
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.host.interrupt import Interrupt, signals_to
from engine.runtime.host.launch import Launch
from engine.runtime.host.time_limit import TimeLimit
from engine.runtime.start.bootstrap import RunRequest
from tests.adapters.remote import Remote

BASE: Mapping[str, Mapping[str, object]] = {
    "loss": {"weights": {"error": 1.0, "size": 0.5}, "blend_in_steps": 3},
    "training": {"batch_size": 5, "epochs": 4, "learning_rate": 0.01, "warmup_epochs": 0.5},
    "validation": {"batch_size": 2, "num_previews": 0},
    "checkpoint": {"every_steps": 4},
    "gate": {"min_steps": 2, "window_steps": 4},
    "tensorboard": {"enabled": False},
    "distributed": {"timeout_seconds": 30.0},
}


def tiny_config(task: str = "Tiny", **overrides: Mapping[str, object]) -> RunConfig:
    """Return the configuration of a task in `tiny_task`, with keys of its sections replaced."""
    sections = {name: {**BASE.get(name, {}), **overrides.get(name, {})} for name in {*BASE, *overrides}}
    return RunConfig.model_validate({**sections, "task": f"tests.ddp.tiny_task:{task}"})


PRELOADED = (
    "torch",
    "engine.runtime.ranks.follow",
    "engine.runtime.train",
    "numpy.random",
    "torch.profiler._cupti_monitor",
    "torch.utils.serialization.config",
    "tests.ddp.ranks",
    "tests.ddp.tiny_task",
)
"""Modules that the processes share."""


def script(*lines: str) -> tuple[ScriptedCommand, ...]:
    """Return the commands of lines such as `3: promote --force`."""
    split = [line.partition(": ") for line in lines]
    return tuple(ScriptedCommand(int(step), parse_command(words.split()), 1) for step, _, words in split)


@dataclass(frozen=True)
class Ended:
    """The exit codes of the ranks, fingerprints of weights, averages, moments and decided state, and what they said."""

    codes: tuple[int, ...]
    prints: tuple[dict[str, str], ...]
    said: tuple[str, ...]


def train_together(
    world: int,
    request: RunRequest,
    *,
    environment: Mapping[str, str] | None = None,
    meanwhile: Callable[[Remote, Sequence[Any]], object] | None = None,
) -> Ended:
    """Train `request` on `world` ranks; `meanwhile` may send commands, and gets the processes."""
    context = fork_context()
    folder = request.directory.parent / f"{request.directory.name}-ranks"
    folder.mkdir(exist_ok=True)
    held = reserve_port()
    processes: list[Any] = []
    for rank in range(world):
        launched = replace(request, launch=Launch(rank, world))
        arguments = (launched, port_of(held), folder, dict(environment or {}))
        processes.append(context.Process(target=_be_rank, args=arguments))
    # The fork server stays for later tests, such as those of the data workers: it is started as the program starts it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    for process in processes:
        process.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        if meanwhile is not None:
            meanwhile(Remote(request.directory), processes)
        for process in processes:
            process.join(90)
        codes = tuple(process.exitcode for process in processes)
    finally:
        for process in processes:
            process.kill()
        held.close()
    texts = [folder / f"{rank}.json" for rank in range(world)]
    found = [json.loads(path.read_text("utf-8")) if path.exists() else {"said": ""} for path in texts]
    for path in texts:
        path.unlink(missing_ok=True)
    return Ended(codes, tuple(found), tuple(part.pop("said") for part in found))


def fork_context() -> Any:
    """Return the way of starting processes that share the import of torch."""
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED])
    return context


def reserve_port() -> socket.socket:
    """Return a socket with a port that no other program gets, and at which rank 0 may listen. Close it at the end."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


def port_of(held: socket.socket) -> int:
    """Return the number of the port."""
    return int(held.getsockname()[1])


def _be_rank(request: RunRequest, port: int, folder: Path, environment: Mapping[str, str]) -> None:
    """Run one rank in a process of its own."""
    import torch

    from engine.runtime.ranks.follow import follow
    from engine.runtime.ranks.follower import Follower
    from engine.runtime.ranks.leader_loop import LeaderLoop
    from engine.runtime.train import train

    launch = request.launch
    assert launch is not None
    os.environ.update(environment)
    os.environ |= {"RANK": str(launch.rank), "WORLD_SIZE": str(launch.world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    found: dict[str, str] = {"said": ""}
    _at_end_of(LeaderLoop, lambda loop: found.update(_print_of(loop._state, loop._recorder.state)))
    _at_end_of(Follower, lambda follower: found.update(_print_of(follower._train_state, follower.state)))
    interrupt = Interrupt()
    if launch.rank == 0 and "TICKS" in environment:  # a clock that moves at each look, so that no test waits
        ticks = itertools.count()
        limit = float(environment["TICKS"])
        interrupt.limit = TimeLimit(limit, f"--time-limit {limit:g}s", clock=lambda: float(next(ticks)))
    try:
        with signals_to(interrupt):
            code = train(request, interrupt) if launch.rank == 0 else follow(launch, interrupt)
    except UserError as error:
        found["said"], code = str(error), 2
    except Exception as error:
        found["said"], code = repr(error), 1
    (folder / f"{launch.rank}.json").write_text(json.dumps(found), encoding="utf-8")
    sys.stdout.flush()
    os._exit(code)


def _at_end_of(kind: Any, note: Callable[[Any], object]) -> None:
    """Call `note` after the method `train` of `kind`."""
    plain = kind.train

    def train(self: Any) -> Any:
        ended = plain(self)
        note(self)
        return ended

    kind.train = train


def _print_of(train_state: Any, state: Any) -> dict[str, str]:
    snapshot = train_state.snapshot()
    moments = {f"{name}/{key}": value for name, held in snapshot["moments"].items() for key, value in held.items()}
    averages = {f"average/{name}": value for name, value in snapshot.get("averaged_model", {}).items()}
    tensors = {**snapshot["model"], **moments, **averages}
    data = b"".join(name.encode() + tensors[name].numpy().tobytes() for name in sorted(tensors))
    decided = {name: getattr(state, name) for name in Decided.__slots__ if name not in ("run", "spec")}
    return {
        "tensors": sha256(data).hexdigest(),
        "decided": "".join(f"{name}={to_text(value)};" for name, value in decided.items()),
        "position": str(snapshot["position"]),
        "step": str(state.step),
    }


def steering(directory: Path) -> list[tuple[int, str, str]]:
    """Return the step, the kind and the fields of each event that an actor other than the engine caused.

    Without those that were measured.
    """
    measured = (e.ValidationCompleted, e.CheckpointSaved)
    return [
        (entry.step, type(entry.event).__name__, "" if isinstance(entry.event, measured) else str(entry.event))
        for entry in entries(directory)
        if entry.actor != "engine"
    ]


def entries(directory: Path) -> list[Entry]:
    """Return all events of a run."""
    with closing(JournalReader(directory)) as reader:
        return reader.events()


def series(directory: Path, *names: str) -> dict[str, list[float]]:
    """Return metrics of every step of the newest branch."""
    with closing(JournalReader(directory)) as reader:
        found = reader.series(names)
    return {name: found.values[name].tolist() for name in names} | {"step": found.steps.tolist()}

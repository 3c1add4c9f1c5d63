"""Train as a rank other than 0, from its greeting to the end of the run."""

from __future__ import annotations

import logging
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from engine.config.load import read_resolved
from engine.config.tree import RunConfig
from engine.errors import UserError, in_words
from engine.runtime.host.interrupt import Interrupt, StoppedEarlyError
from engine.runtime.host.launch import Launch
from engine.runtime.ranks import leader as orders
from engine.runtime.ranks.follower import Follower
from engine.runtime.ranks.group import Message, RankGroup, RankLostError
from engine.runtime.ranks.rank_state import RankState
from engine.runtime.start.bootstrap import initial_state
from engine.runtime.start.build import open_data
from engine.task import load_task
from engine.training.checkpoint.random_states import seed_all
from engine.training.device import computing


def follow(launch: Launch, interrupt: Interrupt) -> int:
    """Train as a rank other than 0, and return the exit code: 0, or 1 if the run failed.

    Raises UserError if this rank cannot begin.
    """
    group = RankGroup(launch)
    try:
        return _follow(group, launch, interrupt)
    except StoppedEarlyError:
        return interrupt.exit_code()
    except RankLostError as error:
        if group.pulse.reason_of(0) is None:  # rank 0 says by itself why a run has ended
            raise UserError(str(error)) from error
        return 1
    except Exception as error:  # every error of this rank ends the run, which rank 0 records
        sentence = str(error) if isinstance(error, UserError) else in_words(error)
        if not isinstance(error, UserError):
            logging.getLogger(__name__).error("rank %d failed\n%s", launch.rank, traceback.format_exc())
        group.pulse.leave(sentence)
        raise
    finally:
        group.close()


def _follow(group: RankGroup, launch: Launch, interrupt: Interrupt) -> int:
    hello = group.await_greeting(interrupt)
    config = _config_of(hello)
    interrupt.react_as(config.preemption.reactions())
    device = orders.device_of(hello["device"], launch)
    group.connect(device, config.distributed.timeout_seconds)
    with computing(config.training):
        _train(group, config, device, interrupt)
    return 0


def _train(group: RankGroup, config: RunConfig, device: torch.device, interrupt: Interrupt) -> None:
    """Open the data, build the network, and train until rank 0 ends the run."""
    task = load_task(config.task)
    seed_all(config.training.seed)
    splits = open_data(task, config, lambda _: None)
    model = task.build_model(config).to(device)
    state = RankState(group, task, config, model, splits, initial_state("", config))
    try:
        follower = Follower(group, config, state, interrupt)
        follower.begin()
        try:
            follower.train()
        except RankLostError as error:
            name = follower.save(str(error)) if str(error).startswith("rank 0 ") else ""
            raise RankLostError(f"{error}{f'; its state is saved as {name}' if name else ''}") from error
    finally:
        state.close()


def _config_of(hello: Message | Mapping[str, Any]) -> RunConfig:
    """Return the configuration of rank 0."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(hello["config"], encoding="utf-8")
        return read_resolved(path)

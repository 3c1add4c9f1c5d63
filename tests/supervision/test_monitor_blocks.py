"""Monitors find the same in steps that they get together as in the same steps one by one."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest

from engine.config.supervision_sections import GateConfig, GuardConfig
from engine.config.tree import RunConfig
from engine.protocol.codec import to_json
from engine.protocol.events import Event, SpikeDetected
from engine.protocol.state import RunState, with_decided
from engine.protocol.task_spec import TaskSpec, Term
from engine.supervision.monitors import MonitorSuite
from engine.supervision.step_metrics import StepBlock

Row = Mapping[str, float]
SPEC = TaskSpec(terms=(Term("ce", clamped=True),))
STATE = with_decided(RunState(run="a"), spec=SPEC, loss_weights={"ce": 1.0}, gradient_clip=math.inf)
SECONDS = 0.01


def quiet(number: int, chance: random.Random) -> dict[str, float]:
    """Return the metrics of a step in which nothing happens."""
    return {
        "loss/total": 2.0 * math.exp(chance.gauss(0, 0.02)),
        "grad_norm/total": math.exp(chance.gauss(0, 0.05)),
        "grad_norm/body": 0.6 * math.exp(chance.gauss(0, 0.05)),
        "grad_norm/head": 0.8 * math.exp(chance.gauss(0, 0.05)),
        "weight_norm/body": 5.0 + number / 1000,
        "data_wait": 0.0001,
        "clamp_hits/ce": 0.0,
        "lr": 1e-3,
        "skipped": 0.0,
    }


def troubled() -> list[dict[str, float]]:
    """Return steps with a spike, a slow loader, a clamped loss, a plateau, and modules of each illness."""
    chance = random.Random(3)
    rows = [quiet(number, chance) for number in range(1, 1601)]
    for number in (150, 152, 700):
        rows[number]["loss/total"] = 90.0
    for number in range(200, 290):
        rows[number]["data_wait"] = 0.009
    for number in range(330, 520):
        rows[number]["grad_norm/head"] = 0.0
    for number in range(560, 640):
        rows[number]["grad_norm/body"] *= 1e4
    for number in range(800, 850):
        rows[number]["grad_norm/head"] *= 1e-6
    for number in range(900, 1000):
        rows[number]["weight_norm/body"] *= 20
    for number in range(1010, 1120):
        rows[number]["clamp_hits/ce"] = 1.0
    rows[1130]["loss/total"] = math.nan
    return rows


def suite(max_grad_norm: float) -> MonitorSuite:
    guard = GuardConfig(plateau_steps=200, dead_steps=50)
    return MonitorSuite(RunConfig(guard=guard, gate=GateConfig(max_grad_norm=max_grad_norm)), SPEC)


def one_by_one(monitors: MonitorSuite, rows: Sequence[Row], state: RunState) -> Iterator[tuple[int, Event]]:
    for number, row in enumerate(rows, 1):
        for event in monitors.observe(number, row, state, seconds=SECONDS):
            yield number, event


def together(
    monitors: MonitorSuite, rows: Sequence[Row], state: RunState, sizes: Sequence[int]
) -> Iterator[tuple[int, Event]]:
    chance = random.Random(5)
    start = 0
    while start < len(rows):
        part = rows[start : start + chance.choice(sizes)]
        block = StepBlock(
            range(start + 1, start + 1 + len(part)),
            {name: place for place, name in enumerate(rows[0])},
            np.array([list(row.values()) for row in part]),
            np.full(len(part), SECONDS),
            state,
        )
        found = monitors.observe_block(block)
        for row in sorted(found):
            for event in found[row]:
                yield start + 1 + row, event
        start += len(part)


@pytest.mark.parametrize("sizes", [(1,), (1, 3, 17, 250)])
@pytest.mark.parametrize("clip", [math.inf, 1.0])
def test_blocks_give_the_same_events_and_leave_the_same_memory(sizes: Sequence[int], clip: float) -> None:
    rows, state = troubled(), with_decided(STATE, gradient_clip=clip)
    single, several = suite(10.0), suite(10.0)
    expected = list(one_by_one(single, rows, state))
    assert list(together(several, rows, state, sizes)) == expected
    kinds = {getattr(event, "kind", "spike") for _, event in expected}
    assert kinds >= {
        "spike", "data stall", "loss clamp", "plateau", "dead module", "exploding module", "vanishing module"
    }  # fmt: skip
    assert to_json(several.memory()) == to_json(single.memory())
    assert several.clip_rate == single.clip_rate
    assert (several.clip_rate > 0) == (clip == 1.0)


def test_a_rollback_and_an_intervention_reset_blocks_too() -> None:
    rows = troubled()[:140]
    state, lowered = STATE, with_decided(STATE, lr_scale=0.5)
    single, several = suite(10.0), suite(10.0)
    for steering in (state, lowered, lowered):
        assert list(together(several, rows, steering, (50,))) == list(one_by_one(single, rows, steering))
        assert to_json(several.memory()) == to_json(single.memory())


def test_the_spike_of_a_block_names_its_step() -> None:
    monitors = suite(10.0)
    found = [event for _, event in together(monitors, troubled()[:200], STATE, (64,))]
    assert [event.at_step for event in found if isinstance(event, SpikeDetected)] == [151]

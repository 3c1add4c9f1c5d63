"""The monitors: every alert with its evidence and remedy, once per problem, and none on a calm run."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import MappingProxyType

import pytest

from engine.protocol.codec import from_json, from_text, to_text
from engine.protocol.events import AlertRaised, Event, SpikeDetected
from engine.protocol.state import Limits, RunState
from engine.supervision.monitors import MonitorMemory, MonitorSuite
from engine.supervision.step_metrics import LEAST_GAP, Latch
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.spec import SPEC
from tests.person_state import person_state
from tests.small import small_config

CONFIG = small_config(guard={"plateau_steps": 400, "dead_steps": 30})
STATE = person_state(
    run="r",
    refinements=frozenset({"boundary_refinement", "boundary_aware_loss"}),
    loss_weights=MappingProxyType(dict(CONFIG.loss.weights)),
    limits=Limits(lr_configured=1e-3),
)
Row = dict[str, float]


def _row(number: int, rng: random.Random) -> Row:
    """Return a calm step: the loss falls, norms stay under 1, and no time is spent on waiting for data."""
    noise = math.exp(rng.gauss(0, 0.1))
    parts = ("extractor", "gate", "boundary_refinement")
    return {
        "loss/total": (1.0 + 1.0 / (1 + number / 300)) * noise,
        "loss_raw/boundary_aware": 1.0,
        "clamp_hits/boundary_aware": 0.0,
        "grad_norm/total": 0.8 * noise,
        **{f"grad_norm/{part}": 0.4 * noise for part in parts},
        **{f"weight_norm/{part}": 10.0 for part in parts},
        "lr": 1e-3,
        "data_wait": 0.001,
        "skipped": 0.0,
    }


def _rows(count: int, change: Callable[[int, Row], Row] = lambda number, row: row) -> list[Row]:
    rng = random.Random(0)
    return [change(number, _row(number, rng)) for number in range(1, count + 1)]


def _watched(rows: Iterable[Row], *, config: PersonConfig = CONFIG, state: RunState = STATE) -> list[Event]:
    watch = MonitorSuite(config, SPEC)
    return [event for n, row in enumerate(rows, 1) for event in watch.observe(n, row, state, seconds=0.1)]


def _alerts(events: list[Event]) -> list[AlertRaised]:
    return [event for event in events if isinstance(event, AlertRaised)]


def _from(start: int, **values: float) -> Callable[[int, Row], Row]:
    named = {name.replace("__", "/"): value for name, value in values.items()}
    return lambda number, row: {**row, **named} if number >= start else row


def test_a_calm_run_that_learns_raises_nothing() -> None:
    assert _watched(_rows(400)) == []


def test_a_spike_of_the_loss_is_told_with_its_centre_and_score() -> None:
    (spike,) = _watched(_rows(300, lambda n, row: {**row, "loss/total": 9.0} if n == 200 else row))
    assert isinstance(spike, SpikeDetected)
    assert (spike.metric, spike.at_step, spike.value) == ("loss/total", 200, 9.0)
    assert 1.2 < spike.centre < 2.0 and spike.score > CONFIG.guard.spike_score


@pytest.mark.parametrize(
    ("change", "kind", "evidence", "remedy"),
    [
        (_from(150, grad_norm__total=30.0), "gradient norm", "over 10, the last at 30", "learning rate"),
        (_from(150, data_wait=0.09), "data stall", "0.09 of 0.10 s", "data.num_workers"),
        (
            _from(150, clamp_hits__boundary_aware=1.0, loss_raw__boundary_aware=37.0),
            "loss clamp",
            "boundary_aware losses lie over the clamp, the last at 37",
            "disable boundary_aware_loss",
        ),
        (_from(150, grad_norm__gate=0.0), "dead module", "no gradient has reached gate for 30 steps", "roll back"),
        (_from(250, grad_norm__gate=40.0), "exploding module", "gate is 40", "clip the gradient at less"),
        (_from(250, grad_norm__gate=1e-7), "vanishing module", "gate is 1e-07", "roll back"),
        (_from(250, weight_norm__gate=200.0), "exploding module", "20.0 times that of 10 before", "learning rate"),
    ],
)
def test_each_trouble_is_one_alert_with_its_evidence_and_remedy(
    change: Callable[[int, Row], Row], kind: str, evidence: str, remedy: str
) -> None:
    alerts = [alert for alert in _alerts(_watched(_rows(340, change))) if alert.kind == kind]
    assert len(alerts) == 1
    assert evidence in alerts[0].message and remedy in alerts[0].remedy
    assert alerts[0].at_step >= 150


@pytest.mark.parametrize(("wait", "seconds", "is_stall"), [(0.0018, 0.002, False), (0.02, 0.022, True)])
def test_short_steps_wait_for_data_only_where_more_than_handing_over_a_batch_takes_the_time(
    wait: float, seconds: float, is_stall: bool
) -> None:
    watch = MonitorSuite(CONFIG, SPEC)
    rows = [{**row, "data_wait": wait} for row in _rows(120)]
    events = [event for n, row in enumerate(rows, 1) for event in watch.observe(n, row, STATE, seconds=seconds)]
    assert [alert.kind for alert in _alerts(events)] == ["data stall"] * is_stall


def test_skipped_steps_are_counted() -> None:
    rows = _rows(250, lambda n, row: {**row, "skipped": 1.0, "loss/total": math.nan} if n % 10 == 0 else row)
    (alert,) = _alerts(_watched(rows))
    assert alert.kind == "skipped steps" and "10 % of the newest 100 steps" in alert.message
    assert "which refinement" in alert.remedy


def test_a_loss_that_stands_still_is_a_plateau_unless_the_learning_rate_is_tiny() -> None:
    still = _rows(500, lambda n, row: {**row, "loss/total": 1.5 + 0.01 * (n % 7)})
    (alert,) = _alerts(_watched(still))
    assert alert.kind == "plateau" and "the loss stays at 1.53" in alert.message and "promote" in alert.remedy
    assert _watched([{**row, "lr": 1e-6} for row in still]) == []
    assert _watched(still, config=small_config(guard={"plateau_steps": 0})) == []


@pytest.mark.parametrize("noun", ["refinement", "component"])
def test_remedies_call_components_as_the_task_calls_them(noun: str) -> None:
    spec = replace(SPEC, component_noun=noun)
    rows = _rows(500, lambda n, row: {**row, "loss/total": 1.5, "skipped": float(n < 60)})
    watch, state = MonitorSuite(CONFIG, spec), replace(STATE, spec=spec)
    events = [event for n, row in enumerate(rows, 1) for event in watch.observe(n, row, state, seconds=0.1)]
    remedies = {alert.kind: alert.remedy for alert in _alerts(events)}
    assert f"check which {noun} module" in remedies["skipped steps"]
    assert f"enable more {noun}s (promote)" in remedies["plateau"]


def test_a_loss_of_nothing_but_zeros_is_no_plateau() -> None:
    weightless = _rows(500, lambda n, row: {**row, "loss/total": 0.0})
    assert [alert for alert in _alerts(_watched(weightless)) if alert.kind == "plateau"] == []


def test_a_noisy_loss_that_falls_is_no_plateau() -> None:
    rng = random.Random(3)
    falling = _rows(2000, lambda n, row: {**row, "loss/total": 2.0 - 0.0004 * n + rng.gauss(0, 0.15)})
    assert [a.kind for a in _alerts(_watched(falling))] == []


def test_an_active_module_without_any_gradient_is_dead_and_one_that_is_off_is_not() -> None:
    def without(number: int, row: Row) -> Row:
        return {name: value for name, value in row.items() if name != "grad_norm/boundary_refinement"}

    (alert,) = _alerts(_watched(_rows(100, without)))
    assert (alert.kind, alert.module, alert.at_step) == ("dead module", "boundary_refinement", 30)
    off = replace(STATE, refinements=frozenset({"boundary_aware_loss"}))
    assert _watched(_rows(100, without), state=off) == []


def test_a_head_whose_loss_has_the_weight_0_is_not_called_dead() -> None:
    rows = _rows(100, _from(1, grad_norm__contour_detection=0.0))
    on = STATE.refinements | {"contour_detection"}
    weighing = replace(STATE, refinements=on)
    (alert,) = _alerts(_watched(rows, state=weighing))
    assert (alert.module, alert.term) == ("contour_detection", "contour")
    silent = replace(weighing, loss_weights=MappingProxyType({**STATE.loss_weights, "contour": 0.0}))
    assert _watched(rows, state=silent) == []


@pytest.mark.parametrize(
    ("change", "ill"),
    [
        (_from(1), set()),
        (_from(250, grad_norm__gate=0.0), {"gate dead"}),
        (_from(250, grad_norm__gate=40.0), {"gate exploding"}),
        (_from(250, weight_norm__gate=200.0), {"gate exploding"}),
        (_from(250, grad_norm__gate=1e-7), {"gate vanishing"}),
    ],
)
def test_the_gate_is_told_of_the_parts_with_an_open_alert(change: Callable[[int, Row], Row], ill: set[str]) -> None:
    suite = MonitorSuite(CONFIG, SPEC)
    assert suite.ill(STATE, 100) is None, "nothing is measured yet"
    for number, row in enumerate(_rows(320, change), 1):
        suite.observe(number, row, STATE, seconds=0.1)
    assert suite.ill(STATE, 100) == ill


def test_a_network_that_wakes_from_a_small_start_does_not_explode() -> None:
    rows = _rows(400, lambda n, row: {**row, "grad_norm/extractor": 0.002 if n < 200 else 0.9})
    assert [a.kind for a in _alerts(_watched(rows))] == []


def test_an_alert_comes_again_after_it_has_cleared_and_not_before() -> None:
    latch = Latch()
    assert latch.rises(1, on=True, off=False)
    assert not latch.rises(2, on=True, off=False)
    assert not latch.rises(3, on=False, off=True)
    assert not latch.rises(4, on=True, off=False), "so soon it is the same trouble"
    assert latch.rises(1 + LEAST_GAP, on=True, off=False)


@pytest.mark.parametrize(
    "steered",
    [
        replace(STATE, refinements=STATE.refinements | {"active_contour_loss"}),
        replace(STATE, lr_scale=2.0),
        replace(STATE, loss_weights=MappingProxyType({**STATE.loss_weights, "dice": 1.0})),
        replace(STATE, batch_size=1),
        replace(STATE, optimizer="adam"),
    ],
)
def test_what_follows_an_intervention_is_taken_for_its_effect(steered: RunState) -> None:
    watch, rng = MonitorSuite(CONFIG, SPEC), random.Random(0)
    events: list[Event] = []
    for number in range(1, 400):
        row, factor = _row(number, rng), 2.2 if number > 200 else 1.0
        row |= {"loss/total": factor * row["loss/total"], "grad_norm/total": factor * row["grad_norm/total"]}
        events += watch.observe(number, row, steered if number > 200 else STATE, seconds=0.1)
    assert events == []


def test_after_a_rollback_the_numbers_come_again_and_nothing_fires() -> None:
    watch, rng = MonitorSuite(CONFIG, SPEC), random.Random(0)
    events: list[Event] = []
    for number in [*range(1, 300), *range(100, 300)]:
        row = _row(number, rng)
        events += watch.observe(number, row, STATE, seconds=0.1)
    assert events == []


def _storm(number: int, row: Row) -> Row:
    return {**row, "loss/total": 9.0} if number % 40 == 0 else {**row, "grad_norm/total": 20.0} if number > 230 else row


@pytest.mark.parametrize("stopped_at", [15, 110, 121, 200, 250, 290])
def test_after_a_resume_the_guardian_is_told_of_the_same_spikes_and_norms_at_the_same_steps(stopped_at: int) -> None:
    rows = _rows(400, _storm)
    whole, first, second = MonitorSuite(CONFIG, SPEC), MonitorSuite(CONFIG, SPEC), MonitorSuite(CONFIG, SPEC)
    told, again = [], []
    for number, row in enumerate(rows, 1):
        told += whole.observe(number, row, STATE, seconds=0.1)
        if number == stopped_at + 1:
            second.recall(from_json(MonitorMemory, from_text(to_text(first.memory()))))
        again += (first if number <= stopped_at else second).observe(number, row, STATE, seconds=0.1)

    def acted_on(events: list[Event]) -> list[Event]:
        return [e for e in events if isinstance(e, SpikeDetected) or (isinstance(e, AlertRaised) and "norm" in e.kind)]

    assert len(acted_on(told)) >= 8
    assert acted_on(again) == acted_on(told)


def test_what_a_resume_was_told_to_change_is_an_intervention() -> None:
    first, same, other, rng = (
        MonitorSuite(CONFIG, SPEC),
        MonitorSuite(CONFIG, SPEC),
        MonitorSuite(CONFIG, SPEC),
        random.Random(0),
    )
    for number in range(1, 200):
        first.observe(number, _row(number, rng), STATE, seconds=0.1)
    same.recall(first.memory())
    other.recall(first.memory())
    jump = _row(200, rng) | {"loss/total": 3.5}
    assert same.observe(200, jump, STATE, seconds=0.1)
    assert not other.observe(200, jump, replace(STATE, batch_size=1), seconds=0.1)


def test_the_clip_rate_is_the_share_of_steps_over_the_bound_in_force() -> None:
    watch, rng = MonitorSuite(CONFIG, SPEC), random.Random(0)
    for number in range(1, 101):
        row = _row(number, rng) | {"grad_norm/total": 5.0 if number % 4 == 0 else 0.5}
        watch.observe(number, row, STATE, seconds=0.1)
    assert watch.clip_rate == 0.25
    for number in range(101, 201):
        watch.observe(number, _row(number, rng) | {"clip/threshold": 0.01}, STATE, seconds=0.1)
    assert watch.clip_rate == 1.0


def test_a_look_costs_far_less_than_a_step() -> None:
    watch, rows = MonitorSuite(CONFIG, SPEC), _rows(500)
    started = time.thread_time()
    for number, row in enumerate(rows, 1):
        watch.observe(number, row, STATE, seconds=0.1)
    assert (time.thread_time() - started) / len(rows) < 0.002, "some 0.05 ms; the bound is for a slow machine"

"""The checks of a promotion."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import pytest

from engine.config.supervision_sections import GateConfig
from engine.protocol.codec import from_json
from engine.protocol.state import GateCheck, RunState
from engine.protocol.task_spec import Metric, TaskSpec
from engine.supervision.baseline import LossLevel
from engine.supervision.gate import GateWindow, gate_checks, slope_with_error
from tests.person_state import person_state

GATE = GateConfig(min_steps=20, window_steps=40)
CHANCE = LossLevel(blind=1.72, error=0.01, chance=1.8)


def _window(losses: list[float], grad_norm: float = 1.0, *, mious: tuple[float, ...] = (0.4,)) -> GateWindow:
    window = GateWindow(GATE.window_steps)
    for loss in losses:
        window.add(loss=loss, grad_norm=grad_norm, finite=math.isfinite(loss), level=CHANCE)
    window.mious.extend(mious)
    return window


def _checks(
    window: GateWindow, *, step: int = 100, ill: frozenset[str] | None = frozenset()
) -> Mapping[str, GateCheck]:
    return {check.name: check for check in gate_checks(window, person_state(run="r", step=step), GATE, ill)}


def _red(window: GateWindow, *, step: int = 100, ill: frozenset[str] | None = frozenset()) -> set[str]:
    return {name for name, check in _checks(window, step=step, ill=ill).items() if not check.passed and check.measured}


def _pending(window: GateWindow, *, step: int = 100, ill: frozenset[str] | None = frozenset()) -> set[str]:
    return {name for name, check in _checks(window, step=step, ill=ill).items() if not check.measured}


def _noisy(slope: float, *, start: float = 1.6, noise: float = 0.05) -> list[float]:
    rng = random.Random(0)
    return [start + slope * i + rng.gauss(0, noise) for i in range(40)]


def test_a_calm_falling_run_passes_every_check() -> None:
    checks = _checks(_window(_noisy(-0.01)))
    assert len(checks) == 7 and all(check.passed and check.measured for check in checks.values())


@pytest.mark.parametrize("num_steps", [1, 2, 3, 19])
def test_the_checks_of_few_steps_name_numbers_or_none(num_steps: int) -> None:
    checks = _checks(_window(_noisy(-0.01)[:num_steps]))
    assert not any(word in check.value + check.bound for check in checks.values() for word in ("nan", "inf"))


def test_noise_without_a_trend_is_not_called_rising() -> None:
    assert "loss slope per 100 steps" not in _red(_window(_noisy(0.0)))


def test_a_rising_loss_is_red() -> None:
    assert "loss slope per 100 steps" in _red(_window(_noisy(0.02)))


def test_too_few_steps_in_the_phase_are_red() -> None:
    assert "steps in phase" in _red(_window(_noisy(-0.01)), step=19)


def test_a_gradient_norm_over_the_bound_is_red() -> None:
    assert "gradient norm (95 %)" in _red(_window(_noisy(-0.01), grad_norm=11.0))


@pytest.mark.parametrize(
    ("losses", "passes"),
    [
        (_noisy(-0.001, start=1.66), True),
        (_noisy(-0.0005, start=1.62, noise=0.1), True),
        (_noisy(-0.002, start=1.79, noise=0.01), True),
        (_noisy(-0.02, start=2.3, noise=0.2), False),
        (_noisy(0.0, start=1.8), False),
        (_noisy(0.0, start=1.71), False),
        (_noisy(0.0, start=1.66, noise=0.5), False),
        (_noisy(0.0, start=1.735), False),
        (_noisy(-0.0005, start=1.735), False),
        (_noisy(0.0, start=2.4), False),
        ([1.8] * 40, False),
        ([1.695] * 40, False),
    ],
    ids=[
        "an honest slow learner",
        "a slow and noisy one",
        "a very slow one on its way",
        "one that falls but is not below chance yet",
        "at chance",
        "below chance by luck",
        "below chance by less than its noise",
        "dead modules, the classes' shares learned",
        "dead modules that drift by less than noise",
        "above chance",
        "weights that never moved",
        "below chance by no more than the error of that level",
    ],
)
def test_the_loss_must_lie_below_chance_by_more_than_noise(losses: list[float], passes: bool) -> None:
    check = _checks(_window(losses))["loss below chance"]
    assert check.measured and check.passed is passes


@pytest.mark.parametrize("what", ["gate dead", "unet exploding", "shared vanishing"])
def test_a_module_with_an_open_alert_is_red_and_named(what: str) -> None:
    window = _window(_noisy(-0.01))
    assert _red(window, ill=frozenset({what})) == {"modules"}
    assert what in _checks(window, ill=frozenset({what}))["modules"].value


def test_what_was_never_measured_is_pending_and_not_green() -> None:
    everything = {
        "loss slope per 100 steps",
        "loss below chance",
        "gradient norm (95 %)",
        "non-finite steps",
        "modules",
        "validation mIoU",
    }
    empty = _window([], mious=())
    assert _pending(empty, step=0, ill=None) == everything
    assert not any(check.passed for check in _checks(empty, step=0, ill=None).values())
    assert all(
        check.value == "not measured yet" for name, check in _checks(empty, ill=None).items() if name in everything
    )
    few = _window(_noisy(-0.01)[:12], mious=())
    assert _pending(few, step=12) == everything
    assert _checks(few, step=12)["gradient norm (95 %)"].value == "1 (12 of 20 steps)"


def test_a_window_of_steps_that_were_all_skipped_measures_nothing_but_that() -> None:
    window = _window([math.nan] * 40)
    assert _red(window) == {"non-finite steps"}
    assert _pending(window) == {"loss slope per 100 steps", "loss below chance", "gradient norm (95 %)"}


def test_without_a_level_of_chance_the_gate_stays_shut() -> None:
    window = GateWindow(GATE.window_steps)
    for loss in _noisy(-0.01):
        window.add(loss=loss, grad_norm=1.0, finite=True)
    assert "loss below chance" in _pending(window)


def test_a_phase_without_a_validation_is_pending() -> None:
    assert _pending(_window(_noisy(-0.01), mious=())) == {"validation mIoU"}


def test_a_validation_that_was_not_finite_is_red_and_is_nobodys_best() -> None:
    window = _window(_noisy(-0.01), mious=(math.nan,))
    assert _red(window) == {"validation mIoU"}
    window.mious.append(0.4)
    assert _red(window) == set()


def test_one_non_finite_step_in_the_window_is_red_and_leaves_it_in_time() -> None:
    window = _window([math.nan, *_noisy(-0.01)[:20]])
    assert "non-finite steps" in _red(window)
    for loss in _noisy(-0.01):
        window.add(loss=loss, grad_norm=1.0, finite=True, level=CHANCE)
    assert "non-finite steps" not in _red(window)


def test_a_fallen_validation_miou_is_red() -> None:
    window = _window(_noisy(-0.01), mious=(0.50, 0.45))
    assert "validation mIoU" in _red(window)
    window.mious.append(0.49)
    assert "validation mIoU" not in _red(window)


def test_every_check_says_its_value_and_its_bound() -> None:
    for check in _checks(_window(_noisy(-0.01))).values():
        assert check.value and check.bound


def test_a_check_of_an_old_journal_was_measured() -> None:
    assert from_json(GateCheck, {"name": "n", "value": "0", "bound": "0", "passed": True}).measured


def test_the_slope_of_a_line_is_exact_and_has_no_error() -> None:
    slope, error = slope_with_error([1.0 + 0.5 * i for i in range(10)])
    assert slope == pytest.approx(0.5)
    assert error == pytest.approx(0.0, abs=1e-12)


def _score_of(spec: TaskSpec, *scores: float) -> GateCheck:
    window = GateWindow(GATE.window_steps)
    window.mious.extend(scores)
    return gate_checks(window, RunState(run="r", spec=spec), GATE)[-1]


@pytest.mark.parametrize(
    ("scores", "passed"), [((9.0, 8.0), True), ((8.0, 8.1), True), ((8.0, 8.2), False), ((8.0, math.nan), False)]
)
def test_a_score_that_is_better_when_lower_may_rise_by_a_share_of_the_best(
    scores: tuple[float, ...], passed: bool
) -> None:
    spec = TaskSpec(metrics=(Metric("perplexity"),), score="perplexity", lower_is_better=True)
    check = _score_of(spec, *scores)
    assert (check.name, check.bound, check.passed) == (
        "validation perplexity",
        "within 2 % of the phase's best",
        passed,
    )


def test_the_drop_of_a_score_is_a_share_of_its_range() -> None:
    spec = TaskSpec(metrics=(Metric("mark", "school mark", 0, 100),), score="mark")
    check = _score_of(spec, 80.0, 78.5)
    assert (check.name, check.bound, check.passed) == ("validation school mark", "within 2 of the phase's best", True)
    assert not _score_of(spec, 80.0, 77.5).passed


def test_what_a_task_cannot_measure_is_left_out() -> None:
    state = RunState(run="r", step=100)
    names = [check.name for check in gate_checks(GateWindow(4), state, GATE, has_baseline=False)]
    assert "loss below chance" not in names and not any(name.startswith("validation") for name in names)

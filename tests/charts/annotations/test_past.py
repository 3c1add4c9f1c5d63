"""What was in force at each step, and the lines that are drawn for it."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from cockpit.charts.annotations.levels import levels_of, placed
from cockpit.charts.annotations.past import past_of
from cockpit.charts.chart_specs import charts_for
from cockpit.charts.columns.window import ColumnWindow
from cockpit.charts.inks import Ink
from cockpit.charts.scene import Level
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.events import Status
from engine.protocol.evolve import evolve
from engine.protocol.state import RunState
from engine.tasks.person.spec import SPEC, refinements_of
from tests.charts.array_history import ArrayHistory
from tests.charts.cases import feed_of, picture
from tests.person_state import person_state

TERMS = ("cross_entropy", "dice", "auxiliary", "boundary_aware", "active_contour", "contour", "distance")
CHANCE: dict[str, float] = dict.fromkeys(TERMS, 1.0)
WEIGHTS = MappingProxyType(dict.fromkeys(TERMS, 0.5))
START = person_state(run="r", refinements=refinements_of(1), loss_weights=WEIGHTS, gradient_clip=1.0)
CHARTS = charts_for(SPEC)
LOSS = CHARTS[0]
STARTED = e.RunStarted("cpu", 1, 1, 1, 1000)
TO_2 = e.PhasePromoted(1, 2, ("active_contour_loss",))

Happened = tuple[int, e.Event]


def history(*happened: Happened) -> tuple[list[Entry], RunState]:
    """Entries, and the state after them."""
    state = START
    for step, event in happened:
        state = evolve(state, event, step)
    return [Entry(1, 0.0, 1, step, "p", None, Status.APPLIED, "", event) for step, event in happened], state


def chances(*happened: Happened) -> tuple[tuple[int, float], ...]:
    """Where the total loss at chance lay, and from which step on."""
    entries, state = history(*happened)
    (level,) = levels_of(LOSS, ("loss/total",), past_of(entries, state), CHANCE, 10.0)
    return level.pieces or ((0, level.value),)


def test_without_a_change_the_level_is_one_line() -> None:
    assert chances((0, STARTED), (5, e.Paused("running"))) == ((0, 2.0),)


def test_a_promotion_a_weight_and_a_switch_move_it_from_their_step_on() -> None:
    heavier, off, on = (
        e.LossWeightSet("dice", 0.5, 2.0),
        e.RefinementDisabled("boundary_aware_loss"),
        e.RefinementEnabled("boundary_aware_loss"),
    )
    assert chances((0, STARTED), (100, TO_2), (200, heavier)) == ((0, 2.0), (100, 2.5), (200, 4.0))
    assert chances((30, off), (60, on)) == ((0, 2.0), (30, 1.5), (60, 2.0))
    back = e.PhaseDemoted(2, 1, ("active_contour_loss",))
    assert chances((10, TO_2), (20, back)) == ((0, 2.0), (10, 2.5), (20, 2.0))


def test_a_rollback_keeps_what_was_steered() -> None:
    assert chances((100, TO_2), (150, e.RolledBack("c", 150, 80))) == ((0, 2.0), (80, 2.5))


def test_a_resume_takes_up_what_its_checkpoint_holds() -> None:
    entries, before = history((50, e.LossWeightSet("dice", 0.5, 1.0)))
    after, _ = history((100, TO_2), (80, replace(STARTED, resumed_from="c")))
    (level,) = levels_of(LOSS, ("loss/total",), past_of([*entries, *after], before), CHANCE, 10.0)
    assert level.pieces == ((0, 2.0), (50, 2.5))


def test_the_clip_lies_where_it_held_too() -> None:
    entries, state = history((70, e.GradientClipSet(1.0, 0.25)))
    norm = next(spec for spec in CHARTS if spec.id == "norm")
    _, clip = levels_of(norm, ("grad_norm/total",), past_of(entries, state), {}, 10.0)
    assert (clip.text, clip.pieces) == ("clip 0.25", ((0, 1.0), (70, 0.25)))


@pytest.mark.parametrize(
    ("window", "pieces"),
    [
        (ColumnWindow(0, 400), ((0, 1.0), (10, 2.0), (20, 3.0))),
        (ColumnWindow(150, 190), ((0, 2.0),)),
        (ColumnWindow(150, 250), ((0, 2.0), (20, 3.0))),
        (ColumnWindow(300, 340), ((0, 3.0),)),
        (ColumnWindow(0, 40), ((0, 1.0),)),
    ],
)
def test_a_plot_shows_the_pieces_of_its_steps(window: ColumnWindow, pieces: tuple[tuple[int, float], ...]) -> None:
    level = Level(3.0, "chance 3", Ink.CHANCE, ((0, 1.0), (100, 2.0), (200, 3.0)))
    shown = placed(level, window, 40)
    assert shown is not None and shown.pieces == pieces
    assert placed(Level(3.0, "chance 3", Ink.CHANCE, ((500, 3.0),)), window, 40) is None


def test_the_line_of_chance_is_drawn_at_each_level_where_it_held() -> None:
    entries, state = history((0, STARTED), (100, TO_2))
    feed = feed_of(ArrayHistory.dense({"loss/total": np.repeat([3.0, 1.5], 100)}))
    feed = replace(feed, chance=CHANCE, state=state, past=past_of(entries, state))
    rows = [line[9:-1] for line in picture(replace(LOSS, smoothing=0.0), feed, (66, 15)).lines()[2:-3]]
    (late, after, _), (early, first, last) = [
        (y, row.index("╌"), row.rindex("╌")) for y, row in enumerate(rows) if "╌" in row
    ]
    assert late < early
    assert first == 1  # behind the axis
    assert 0 < after - last < 4
    assert "chance level 2.5" in rows[late]

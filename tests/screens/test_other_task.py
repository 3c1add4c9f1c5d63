"""A run of a task that is not the default one: every tab, every steering key and the console say what its spec says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from textual.pilot import Pilot

from cockpit.app.app import CockpitApp
from cockpit.console.charts import curves_text
from cockpit.console.summary import fact_lines, read_outcome
from cockpit.preferences.keymap import KEYS
from cockpit.preferences.settings import Settings
from cockpit.session.session import Session
from engine.journal.reader import JournalReader
from engine.journal.task_meta import TASK
from engine.protocol import events as e
from engine.protocol.events import Activity
from engine.protocol.state import RunState
from engine.protocol.task_spec import Component, Metric, Phase, TaskSpec, Term
from engine.protocol.wire import spec_to_json
from tests.panels.stage import text_of
from tests.recorded_run import RecordedRun

LANGUAGE = TaskSpec(
    name="language",
    terms=(Term("next_token"), Term("rarity", component="rare_words", clamped=True)),
    components=(Component("rare_words", "weigh rare words higher"),),
    phases=(Phase("base"), Phase("+ rare words", adds=("rare_words",))),
    metrics=(Metric("perplexity", low=1), Metric("accuracy", low=0, high=1)),
    score="perplexity",
    lower_is_better=True,
    component_noun="extra",
    sample_noun="text",
)
PLAIN = TaskSpec(
    name="plain",
    terms=(Term("error"),),
    metrics=tuple(Metric(f"score_{number}", low=0, high=1) for number in range(7)),
    score="score_0",
)
STEERING = [key for key in KEYS if key.group == "steer"]
FOREIGN_WORDS = ("miou", "iou", "refinement", "region", "roi", "contour", "background", "person")


@pytest.fixture(params=[LANGUAGE, PLAIN], ids=lambda spec: spec.name)
def spec(request: pytest.FixtureRequest) -> TaskSpec:
    return request.param


@pytest.fixture
def run(tmp_path: Path, spec: TaskSpec) -> Iterator[RecordedRun]:
    """Sixty steps of the task with a validation every twenty; the second one is the best. It has no chance levels."""
    run = RecordedRun(tmp_path / "runs" / "other")
    run.journal.set_meta(TASK, spec_to_json(spec))
    weights = MappingProxyType(dict.fromkeys(spec.term_names, 1.0))
    run.state = RunState("other", device="cpu", total_steps=100, lr=1e-3, loss_weights=weights, spec=spec)
    run.observe()
    run.note(e.ActivityChanged(Activity.STARTING, Activity.RUNNING))
    for step in range(1, 61):
        values = {
            f"{root}/{term}": 2.0 / step for root in ("loss", "loss_raw") for term in spec.active_terms(frozenset())
        }
        values |= {"loss/total": 2.0 / step, "grad_norm/total": 0.5, "grad_norm/body": 0.4, "lr": 1e-3}
        run.journal.record_step(step, step / 20, tuple(values), tuple(values.values()))
        run.state = replace(run.state, step=step, loss=2.0 / step, grad_norm=0.5, samples_per_second=9.0)
        if step % 20 == 0:
            _validate(run, spec, {20: 30.0, 40: 10.0, 60: 20.0}[step])
    run.observe()
    yield run
    run.close()


def _validate(run: RecordedRun, spec: TaskSpec, score: float) -> None:
    scores = {metric.name: score if metric.name == spec.score else 0.5 for metric in spec.metrics}
    run.journal.record_validation(
        run.state.step, run.state.step / 20, tuple(f"val/{name}" for name in scores), tuple(scores.values())
    )
    run.note(e.ValidationCompleted(1.0, scores, 0.5))


async def _shown(pilot: Pilot[None], *keys: str) -> str:
    await pilot.press(*keys)
    await pilot.pause()
    return text_of(pilot.app.screen)


def _foreign(text: str) -> list[str]:
    return [word for word in FOREIGN_WORDS if word in text.lower().split()]


async def test_every_tab_shows_the_task_and_no_other(run: RecordedRun, spec: TaskSpec) -> None:
    with closing(Session(run.directory)) as session:
        session.poll()
        app = CockpitApp(session, settings=Settings())
        async with app.run_test(size=(130, 40)) as pilot:
            await pilot.pause(0.3)
            for tab in ("f2", "f3", "f4", "f5", "f7", "f8"):
                said = await _shown(pilot, tab)
                assert app.screen.is_attached and "fault in the screen" not in said.lower()
                assert _foreign(said) == []
                best = 10.0 if spec.lower_is_better else 30.0
                assert f"{spec.score_title} 20.000" in said and f"best {best:.3f}" in said
                assert f"{spec.sample_noun}s/s" in said
                if tab == "f3":
                    named = ("1 ○ rare_words", "next_token") if spec.components else ("no components to switch",)
                    assert named[0] in said
                    assert ("no phases to promote through" in said) is (spec is PLAIN) and "autopilot off" in said
                if tab == "f4":
                    assert "no pictures" in said


async def test_every_steering_key_opens_or_says_why_not(run: RecordedRun, spec: TaskSpec) -> None:
    """The dialog of each key is closed without a command, and what was sent at once is answered, before the next."""
    with closing(Session(run.directory)) as session:
        session.poll()
        app = CockpitApp(session, settings=Settings())
        async with app.run_test(size=(110, 36)) as pilot:
            await pilot.pause()
            for key in STEERING:
                shown_before = len(app.screen_stack)
                said = await _shown(pilot, key.keys[0])
                assert "fault in the screen" not in said and _foreign(said) == [], key.action
                if len(app.screen_stack) > shown_before:
                    await pilot.press("escape")
                    await pilot.pause()
                assert len(app.screen_stack) == shown_before, key.action
                run.answer_commands()


async def test_a_number_beyond_the_components_is_refused_in_one_sentence(run: RecordedRun, spec: TaskSpec) -> None:
    with closing(Session(run.directory)) as session:
        session.poll()
        app = CockpitApp(session, settings=Settings())
        async with app.run_test(size=(110, 36)) as pilot:
            await pilot.pause()
            said = await _shown(pilot, "5")
            only = "only 1" if spec.components else "no components"
            assert f"there is no {spec.component_noun} 5: the task has {only}" in said


def test_the_console_sums_the_run_up_in_the_words_of_the_task(run: RecordedRun, spec: TaskSpec) -> None:
    with closing(JournalReader(run.directory)) as reader:
        outcome = read_outcome(reader, run.directory)
        assert outcome is not None and outcome.best is not None
        said = "\n".join(line.plain for line in fact_lines(outcome))
        curves = "\n".join(line.plain for line in curves_text(reader, outcome.entries, width=80, ascii_only=True))
    assert outcome.best.score == (10.0 if spec.lower_is_better else 30.0)
    assert spec.term_names[0] in said and spec.score_title in said and f"val/{spec.score}" in curves
    assert _foreign(said + curves) == []

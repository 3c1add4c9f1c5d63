"""The header says at any width what the run is, what it is at, and how it does; asked-for values are shown as such."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE
from cockpit.ui.panels.status.header import Header
from engine.journal.task_meta import TASK
from engine.protocol import commands as c
from engine.protocol.events import Activity, ActivityChanged, Paused, RunFinished
from engine.protocol.task_spec import TaskSpec, Term
from engine.protocol.wire import spec_to_json
from tests.console.scripted import FakeClock
from tests.panels.stage import Stage
from tests.recorded_run import RecordedRun

Open = Callable[..., Session]


async def test_everything_is_told_in_three_lines_of_eighty(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(Header(), open_session())
    async with stage.run_test(size=(80, 8)) as pilot:
        await pilot.pause()
        lines = stage.shown.splitlines()
        assert stage.panel.size.height == 3
        for word in ("calm", "running", "phase 2", "epoch 9"):
            assert word in lines[0]
        for word in ("400/1000", "40.0 %", "8.56 regions/s", "elapsed"):
            assert word in lines[1]
        for word in ("loss 0.9828", "chance 1.815", "grad 1.248", "lr 2.50e-06", "mIoU 0.589", "skipped 2"):
            assert word in lines[2]


async def test_a_wide_header_leaves_nothing_out(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(Header(), open_session())
    async with stage.run_test(size=(150, 8)) as pilot:
        await pilot.pause()
        for word in ("+ active contour", "on cpu", "at 400", "skipped 2", "spikes 1", "alerts 1"):
            assert word in stage.shown


@pytest.mark.parametrize("width", [24, 40, 60, 80, 120, 200])
async def test_no_line_is_wider_than_the_screen(told: RecordedRun, open_session: Open, width: int) -> None:
    stage = Stage(Header(), open_session())
    async with stage.run_test(size=(width, 14)) as pilot:
        await pilot.pause()
        assert all(line.cell_length <= width - 2 for line in Header.lines(stage.panel, width - 2))
        assert "400/1000" in stage.shown


async def test_before_the_journal_is_there_it_says_so(open_session: Open) -> None:
    stage = Stage(Header(), open_session())
    async with stage.run_test(size=(80, 4)) as pilot:
        await pilot.pause()
        assert "starting" in stage.shown
        assert "calm" in stage.shown


async def test_what_the_engine_is_at_is_told_with_its_time(
    run: RecordedRun, open_session: Open, clock: FakeClock
) -> None:
    run.observe(doing="importing torch")
    session = open_session()
    clock.advance(2)
    stage = Stage(Header(), session)
    async with stage.run_test(size=(80, 4)) as pilot:
        await pilot.pause()
        assert "importing torch, 2 s" in stage.shown


async def test_a_rate_that_was_asked_for_is_pending_until_its_event(told: RecordedRun, open_session: Open) -> None:
    session = open_session()
    stage = Stage(Header(), session)
    async with stage.run_test(size=(80, 4)) as pilot:
        session.send(c.ScaleLr(0.5))
        stage.look()
        await pilot.pause()
        assert "lr 2.50e-06 -> 1.25e-06 …" in stage.shown
        told.answer_commands()
        stage.look()
        await pilot.pause()
        assert "lr 1.25e-06" in stage.shown
        assert "->" not in stage.shown


async def test_a_pause_that_was_asked_for_is_pending_too(told: RecordedRun, open_session: Open) -> None:
    session = open_session()
    stage = Stage(Header(), session)
    async with stage.run_test(size=(100, 4)) as pilot:
        session.send(c.Pause())
        stage.look()
        await pilot.pause()
        assert "-> paused …" in stage.shown


@pytest.mark.parametrize("activity", list(Activity))
async def test_each_activity_has_a_sign_and_its_word(run: RecordedRun, open_session: Open, activity: Activity) -> None:
    run.note(ActivityChanged(Activity.STARTING, activity))
    for marker in ("braille", "ascii"):
        stage = Stage(Header(marker=marker), open_session())
        async with stage.run_test(size=(80, 4)) as pilot:
            await pilot.pause()
            line = stage.shown.splitlines()[0]
            assert f"{stage.panel.signs.activities[activity]} {activity.value}" in line
            assert marker != "ascii" or stage.shown.isascii()


async def test_the_heart_beats_with_the_writer_and_its_silence_is_told(
    told: RecordedRun, open_session: Open, clock: FakeClock
) -> None:
    session = open_session()
    stage = Stage(Header(), session)
    seen: list[str] = []
    async with stage.run_test(size=(80, 4)) as pilot:
        for age in (0.1, 0.2, 5.5, 0.1):
            clock.advance(1)
            session.poll()
            session.heartbeat_age = age
            stage.panel.apply_update(session, FULL_UPDATE)
            stage.panel.apply_update(session, FULL_UPDATE)
            await pilot.pause()
            seen.append(stage.shown.splitlines()[0].split()[1])
            assert ("silent for 5 s" in stage.shown) == (age > 5)
    assert seen[0] != seen[1]
    assert {seen[0], seen[1], seen[3]} == {"♥", "♡"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, 1e-12, 1e12])
async def test_numbers_of_any_kind_are_shown(run: RecordedRun, open_session: Open, value: float | None) -> None:
    run.observe(loss=value, grad_norm=value, score=None)
    stage = Stage(Header(), open_session())
    async with stage.run_test(size=(80, 6)) as pilot:
        await pilot.pause()
        said = {"nan": "NaN", "inf": "Inf", "-inf": "-Inf", "None": "-", "1e-12": "1e-12", "1000000000000.0": "1e+12"}
        assert f"loss {said[str(value)]}" in stage.shown


async def test_a_hostile_name_is_shown_literally(run: RecordedRun, open_session: Open) -> None:
    run.observe(run="[red]x\x1b[31m\u202e\n", device="[b]cpu[/b]\x07")
    stage = Stage(Header(), open_session())
    async with stage.run_test(size=(150, 6)) as pilot:
        await pilot.pause()
        assert r"[red]x\x1b[31m\u202e\n" in stage.shown
        assert r"[b]cpu[/b]\x07" in stage.shown


async def test_a_score_is_told_from_the_training_loss_and_never_zero(run: RecordedRun, open_session: Open) -> None:
    spec = TaskSpec(name="own", terms=(Term("l"),), score="loss")
    run.journal.set_meta(TASK, spec_to_json(spec))
    run.begin()
    run.train(20)
    run.observe(loss=1.5, score=8e-5)
    stage = Stage(Header(), open_session())
    async with stage.run_test(size=(120, 8)) as pilot:
        await pilot.pause()
        assert " loss 1.5 " in stage.shown and "val/loss 8e-05" in stage.shown


async def test_a_stopped_run_says_so_and_how_long_it_took(run: RecordedRun, open_session: Open) -> None:
    run.begin()
    run.train(20)
    run.note(RunFinished("stopped", 125.0))
    stage = Stage(Header(), open_session())
    async with stage.run_test(size=(80, 4)) as pilot:
        await pilot.pause()
        first, second, *_ = stage.shown.splitlines()
        assert "■ stopped" in first and "finished" not in first and "no writer" not in first
        assert second.rstrip().endswith("took 2 min 05 s") and "unknown" not in second


@pytest.mark.parametrize(
    ("reason", "is_full", "step", "said"),
    [("complete", True, 4000, "4000 steps"), ("stopped", False, 4000, "4000 steps"), ("complete", True, 1, "1 step")],
)
async def test_a_program_of_unknown_length_ends_with_its_steps(
    run: RecordedRun, open_session: Open, reason: str, is_full: bool, step: int, said: str
) -> None:
    run.begin()
    run.observe(total_steps=0, step=step)
    session = open_session()
    stage = Stage(Header(), session)
    async with stage.run_test(size=(80, 4)) as pilot:
        await pilot.pause()
        assert f"{step}/-" in stage.shown
        run.note(RunFinished(reason, 125.0))
        stage.look()
        await pilot.pause()
        second = stage.shown.splitlines()[1]
        assert f" {said} " in second and "/" not in second
        assert (stage.panel.signs.full in second, stage.panel.signs.empty in second) == (is_full, not is_full)


async def test_a_run_whose_process_left_says_what_it_took_and_no_speed(run: RecordedRun, open_session: Open) -> None:
    run.begin()
    run.train(20)
    run.close()
    stage = Stage(Header(), open_session())
    async with stage.run_test(size=(100, 4)) as pilot:
        await pilot.pause()
        second = stage.shown.splitlines()[1]
        assert " took " in second and "elapsed" not in second and "/s" not in second


async def test_what_is_not_known_yet_is_left_out(run: RecordedRun, open_session: Open) -> None:
    run.begin()
    stage = Stage(Header(), open_session())
    async with stage.run_test(size=(100, 4)) as pilot:
        await pilot.pause()
        second = stage.shown.splitlines()[1]
        assert "elapsed" in second and "ETA" not in second and "steps/s" not in second


async def test_a_paused_run_says_for_how_long(told: RecordedRun, open_session: Open, clock: FakeClock) -> None:
    session = open_session()
    told.note(Paused("running"))
    session.poll()
    clock.advance(65)
    stage = Stage(Header(), session)
    async with stage.run_test(size=(80, 4)) as pilot:
        await pilot.pause()
        assert "‖ paused, 1 min 05 s" in stage.shown

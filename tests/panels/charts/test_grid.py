from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cockpit.charts.draw.glyphs import MARKERS, Marker
from cockpit.preferences.keymap import KEYS
from cockpit.preferences.themes import LIGHT
from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE, SessionUpdate
from cockpit.ui.panels.charts.grid import ChartGrid
from engine.protocol import events as e
from tests.charts.array_history import ArrayHistory
from tests.panels.charts.chart_stage import STEPS, ArraySession, ChartStage, metrics_at, session_of
from tests.panels.stage import Stage
from tests.recorded_run import RecordedRun, record_run
from tests.waiting import until

WIDE = (140, 44)


@pytest.mark.parametrize("marker", MARKERS)
@pytest.mark.parametrize("size", [(200, 50), (120, 40), (80, 24), (20, 6), (3, 2)])
async def test_any_run_is_shown_at_any_size(size: tuple[int, int], marker: Marker) -> None:
    for num_steps in (0, 1, 300):
        app = ChartStage(session_of(num_steps) if num_steps else ArraySession(ArrayHistory()), marker)
        async with app.run_test(size=size) as pilot:
            app.apply_update()
            await pilot.pause()
            for chart in app.grid.board.shown:
                assert {len(line) for line in chart.text().splitlines()} <= {chart.size.width}


async def test_more_room_shows_more_charts_and_the_rest_is_a_page_away() -> None:
    counts: list[int] = []
    for size in ((200, 50), (140, 44), (80, 36), (80, 24), (50, 12)):
        app = ChartStage(session_of(50))
        async with app.run_test(size=size) as pilot:
            app.apply_update()
            await pilot.pause()
            counts.append(sum(chart.display for chart in app.grid.board.charts))
            seen = {app.grid.board.current.spec.id}
            for _ in range(7):
                assert app.grid.dispatch("next_chart")
                await pilot.pause()
                assert app.grid.board.current.display
                assert app.focused is app.grid.board.current
                seen.add(app.grid.board.current.spec.id)
            assert len(seen) == len(app.grid.board.available) == 8
    assert counts == [6, 6, 4, 2, 1]


async def test_the_screen_says_which_charts_are_shown_and_what_happened_last() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update(app.session.happen(20, e.NoteAdded("[red]as written[/]")))
        await pilot.pause()
        line = app.grid.query_one("ChartStatus").render_line(0).text
        assert "note: [red]as written[/]" in line
        assert "charts 1-6 of 8" in line
        assert "Follow on" in line


async def test_a_locked_range_stays_while_new_values_leave_it() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        await pilot.pause()
        chart = app.grid.board.current
        assert app.grid.dispatch("lock_range")
        await pilot.pause()
        assert "y locked" in chart.text().splitlines()[0]
        labels = [line.split("┤")[0] for line in chart.text().splitlines() if "┤" in line]
        for step in range(51, 120):
            app.session.history.append(step, metrics_at(step) | {"loss/total": 50.0})
        app.apply_update()
        await pilot.pause()
        assert [line.split("┤")[0] for line in chart.text().splitlines() if "┤" in line] == labels
        assert "▲" in chart.text()
        app.grid.dispatch("lock_range")
        await pilot.pause()
        assert "y locked" not in chart.text() and "▲" not in chart.text()
        app.grid.dispatch("lock_range")
        app.grid.dispatch("log_scale")
        assert chart.options.locked == ()


async def test_a_heat_strip_keeps_its_colours_and_shares_need_no_lock() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        await pilot.pause()
        for name, locks in (("modules", 1), ("share", 0)):
            app.grid.board.go_to(app.chart(name))
            app.apply_update()
            await pilot.pause()
            app.grid.dispatch("lock_range")
            assert len(app.chart(name).options.locked) == locks


async def test_the_axis_turns_from_step_to_epoch_to_time_and_back(tmp_path: Path) -> None:
    with closing(Session(record_run(tmp_path / "one", steps=120))) as session:
        grid = ChartGrid()
        async with Stage(grid, session).run_test(size=WIDE) as pilot:
            seen: list[str] = []
            grid.jump(60)
            for _ in range(4):
                await pilot.pause()
                seen.append(grid.query_one("ChartStatus").render_line(0).text)
                assert grid.dispatch("x_axis")
            assert ["steps 1-120" in line for line in seen] == [True, False, False, True]
            assert "epoch 0.02 to 2.40" in seen[1] and "step 60, epoch 1.20" in seen[1]
            assert "time 0s to 1m" in seen[2] and "step 60, time 30s" in seen[2]
            await pilot.pause()
            assert grid.board.current.text().splitlines()[0].count(" epoch ") == 1


async def test_an_axis_that_the_run_lacks_is_left_out() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE):
        app.apply_update()
        app.grid.dispatch("x_axis")
        feed = app.grid.feed()
        assert feed is not None and feed.axis is None


async def test_nothing_new_draws_nothing() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        await pilot.pause()
        before = app.draws
        for _ in range(20):
            app.apply_update(SessionUpdate(time=True))
            app.apply_update(FULL_UPDATE)
            await pilot.pause()
        assert app.draws == before


async def test_hidden_charts_are_never_drawn_and_their_history_is_not_read() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=(50, 12)) as pilot:
        app.apply_update()
        await pilot.pause()
        reads = app.session.history.num_reads
        app.session.history.append(51, metrics_at(51))
        app.apply_update()
        await pilot.pause()
        assert {name for name, count in app.draws.items() if count} == {"loss"}
        assert app.session.history.num_reads == reads + 1


async def test_new_steps_draw_one_chart_after_the_other_and_none_stays_behind() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        await pilot.pause()
        shown = [chart.spec.id for chart in app.grid.board.shown]
        before = app.draws
        app.session.history.append(51, metrics_at(51))
        app.apply_update(STEPS)
        assert [app.draws[name] - before[name] for name in shown] == [1, 0, 0, 0, 0, 0]
        await until(pilot, lambda: all(app.draws[name] > before[name] for name in shown))
        await pilot.pause(0.3)
        assert [app.draws[name] - before[name] for name in shown] == [1] * 6


async def test_a_fast_run_has_no_chart_drawn_before_all_others_were() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        await pilot.pause()
        app.has_time = False
        before = app.draws
        for step in range(51, 71):
            app.session.history.append(step, metrics_at(step))
            app.apply_update(STEPS)
            await asyncio.sleep(0.05)
        drawn = [app.draws[chart.spec.id] - before[chart.spec.id] for chart in app.grid.board.shown]
        assert sum(drawn) == 20 and max(drawn) - min(drawn) <= 1


async def test_charts_that_there_was_no_time_for_are_drawn_when_there_is() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        await pilot.pause()
        app.has_time = False
        shown = [chart.spec.id for chart in app.grid.board.shown]
        before = app.draws
        app.session.history.append(51, metrics_at(51))
        app.apply_update(STEPS)
        await until(pilot, lambda: app.grid.board.turns._next is None)  # the pause after the first chart is over
        app.grid.board.turns.catch_up()
        assert [app.draws[name] - before[name] for name in shown] == [1, 0, 0, 0, 0, 0]
        app.has_time = True
        app.grid.board.turns.catch_up()
        assert [app.draws[name] - before[name] for name in shown] == [1, 1, 1, 0, 0, 0]
        await until(pilot, lambda: all(app.draws[name] > before[name] for name in shown))
        await pilot.pause(0.3)
        assert [app.draws[name] - before[name] for name in shown] == [1] * 6


async def test_a_new_step_repaints_only_rows_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    app = ChartStage(session_of(200))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        await pilot.pause()
        chart = app.chart("lr")
        app.grid.board.go_to(chart)
        await pilot.pause()
        app.apply_update()
        await pilot.pause()
        repainted: list[int] = []
        monkeypatch.setattr(chart, "refresh", lambda *regions: repainted.extend(region.y for region in regions))
        old = chart.text().splitlines()
        app.session.history.append(201, metrics_at(201))
        app.apply_update()
        new = chart.text().splitlines()
        differ = {y for y, (before, after) in enumerate(zip(old, new, strict=True)) if before != after}
        assert set(repainted) == differ
        assert 0 < len(differ) < 4


async def test_zoom_pan_and_cursor_are_shared_by_all_charts() -> None:
    app = ChartStage(session_of(400))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        for action in ("zoom_in", "zoom_in", "cursor_last", "cursor_left", "pan_left"):
            assert app.grid.dispatch(action)
            await pilot.pause()
        cursor = app.grid.view.cursor
        assert cursor is not None
        windows = {chart.picture.scene.panes[0].window for chart in app.grid.board.shown if chart.picture}
        assert len(windows) == 1
        assert windows.pop().span == pytest.approx(100, rel=0.1)


async def test_the_cursor_shows_every_value_at_its_step() -> None:
    app = ChartStage(session_of(400))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        app.grid.jump(100)
        await pilot.pause()
        assert "total 1.91" in app.chart("loss").text()
        assert app.chart("terms").text().count(" 0.01/1") == 4
        assert all(" 100 " in chart.text() for chart in app.grid.board.shown)
        app.grid.dispatch("clear_cursor")
        await pilot.pause()
        assert "total 1.902" in app.chart("loss").text()


async def test_a_followed_window_moves_with_the_run_until_it_is_let_go() -> None:
    app = ChartStage(session_of(400))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        app.grid.dispatch("zoom_in")
        await pilot.pause()
        chart, history = app.chart("loss"), app.session.history
        history.append(500, metrics_at(500))
        app.apply_update()
        assert chart.picture is not None
        assert chart.picture.scene.panes[0].window.end == 501
        app.grid.dispatch("follow")
        history.append(600, metrics_at(600))
        app.apply_update()
        assert chart.picture.scene.panes[0].window.end == 501
        app.grid.dispatch("whole_run")
        await pilot.pause()
        assert chart.picture.scene.panes[0].window.first == 1


async def test_a_maximised_chart_has_all_the_room_and_gives_it_back() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        app.grid.dispatch("next_chart")
        app.grid.dispatch("maximise")
        await pilot.pause()
        assert [chart.spec.id for chart in app.grid.board.shown] == ["terms"]
        assert app.chart("terms").size == (140, 43)
        app.grid.dispatch("next_chart")
        await pilot.pause()
        assert app.chart("norm").size == (140, 43)
        app.grid.dispatch("maximise")
        await pilot.pause()
        assert len(app.grid.board.shown) == 6


async def test_log_scale_and_smoothing_belong_to_the_chart_that_has_the_focus() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        app.grid.dispatch("log_scale")
        app.grid.dispatch("smoothing")
        await pilot.pause()
        title, other = (app.chart(name).text().splitlines()[0] for name in ("loss", "terms"))
        assert " log " in title
        assert " smooth 0.9 " in title
        assert " log " not in other


async def test_the_recent_steps_stand_beside_the_whole_run() -> None:
    app = ChartStage(session_of(3000))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        app.grid.dispatch("recent")
        await pilot.pause()
        picture = app.chart("loss").picture
        assert picture is not None
        whole, recent = (pane.window for pane in picture.scene.panes)
        assert (whole.first, recent.end) == (1, 3001)
        assert f" newest {round(recent.span)} steps " in app.chart("loss").text()


async def test_other_actions_are_left_to_others_and_every_chart_key_is_known() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        assert not app.grid.dispatch("pause")
        for key in KEYS:
            if key.group == "charts" and key.action != "choose_metrics":
                assert app.grid.dispatch(key.action)
        await pilot.pause()
        app.apply_update()
        assert app.grid.dispatch("cursor_left")


async def test_charts_appear_with_their_metrics() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        app.session.history.append(51, metrics_at(51) | {"system/cpu": 40.0})
        app.apply_update(STEPS)
        await pilot.pause()
        assert [chart.spec.id for chart in app.grid.board.available][-1] == "load"


async def test_a_resize_changes_the_page() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        assert len(app.grid.board.shown) == 1
        assert app.chart("loss").text().splitlines()[0].startswith("╭─ Loss ")


async def test_a_click_sets_the_cursor_the_wheel_zooms_a_drag_pans_and_a_double_click_maximises() -> None:
    app = ChartStage(session_of(400))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        await pilot.pause()
        chart = app.chart("loss")
        await pilot.click(chart, offset=(30, 5))
        await pilot.pause()
        assert app.grid.view.cursor == pytest.approx(400 * (30 - 8) / 60, abs=20)
        chart.on_mouse_scroll_up(scrolled(30, 5))
        await pilot.pause()
        assert app.grid.view.window is not None
        first = app.grid.view.window.first
        await pilot.mouse_down(chart, offset=(20, 5))
        await pilot.hover(chart, offset=(40, 5))
        await pilot.mouse_up(chart, offset=(40, 5))
        await pilot.pause()
        assert app.grid.view.window.first < first
        await pilot.double_click(chart, offset=(30, 5))
        await pilot.pause()
        assert app.grid.board.maximised


def scrolled(x: int, y: int):
    from textual.events import MouseScrollUp

    return MouseScrollUp(None, x, y, 0, -1, 0, False, False, False)


async def test_themes_change_the_colours_and_not_the_picture() -> None:
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        await pilot.pause()
        chart, draws = app.chart("loss"), app.draws
        dark = [segment.style for segment in chart.render_line(5)]
        app.theme = LIGHT
        await pilot.pause()
        light = [segment.style for segment in chart.render_line(5)]
        assert [str(style) for style in dark] != [str(style) for style in light]
        assert app.draws == draws


async def test_without_colour_no_hue_is_left_and_shades_tell_heat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = ChartStage(session_of(50))
    async with app.run_test(size=WIDE) as pilot:
        app.apply_update()
        await pilot.pause()
        for strip in app.screen._compositor.render_strips(app.size):
            for segment in strip:
                if segment.style and segment.style.color and segment.style.color.triplet:
                    assert len(set(segment.style.color.triplet)) == 1
        heat = app.chart("modules")
        painted = [segment for y in range(heat.size.height) for segment in heat.render_line(y) if "░" in segment.text]
        assert painted
        assert all(segment.style and segment.style.color != segment.style.bgcolor for segment in painted)


async def test_a_recorded_run_is_drawn_from_its_journal(
    told: RecordedRun, open_session: Callable[..., Session]
) -> None:
    session = open_session()
    panel = ChartGrid()
    app = Stage(panel, session)
    async with app.run_test(size=(200, 50)) as pilot:
        await pilot.pause()
        loss, modules = (
            next(chart for chart in panel.board.charts if chart.spec.id == name) for name in ("loss", "modules")
        )
        assert "\N{MULTIPLICATION SIGN}" in loss.text().splitlines()[-3]
        assert "chance" in loss.text()
        assert "backbone" in modules.text()
        panel.jump(200)
        await pilot.pause()
        assert " 200 " in loss.text()

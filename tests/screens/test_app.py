"""The app on a recorded run: what keys do, what is laid out at which size, and what happens when a part fails."""

from __future__ import annotations

from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from textual.containers import VerticalScroll
from textual.messages import Layout
from textual.widgets import Static

from cockpit.app.app import CockpitApp
from cockpit.app.shutdown import NOT_HERE
from cockpit.preferences.keymap import KEYS, keys_for, remap
from cockpit.preferences.settings import Settings
from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE, SessionUpdate
from cockpit.ui.panels.charts.grid import ChartGrid
from cockpit.ui.panels.records.events import EventsPanel
from cockpit.ui.panels.status.header import Header
from cockpit.ui.panels.status.phases import PhasesPanel
from cockpit.ui.panels.toolkit.panel import Ask, JumpTo, Panel, Steer
from cockpit.ui.screens.help import HelpScreen, KeyMapScreen
from cockpit.ui.screens.main_screen import MainScreen
from cockpit.ui.screens.tab_bar import TABS
from cockpit.ui.screens.tabs import PAGE_OF
from engine.errors import UserError
from engine.protocol.commands import AddNote
from engine.protocol.events import RunFinished
from engine.tasks.person.spec import SPEC
from tests.recorded_run import RecordedRun, record_run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return record_run(tmp_path_factory.mktemp("runs") / "demo", steps=120)


def live_run(directory: Path) -> RecordedRun:
    """A run that is being written and has taken some steps."""
    run = RecordedRun(directory)
    run.begin()
    run.train(20)
    return run


@dataclass
class Ended:
    code: int
    error: str = ""


@dataclass
class FakeTraining:
    """A training that ends when a test says so."""

    ended: Ended | None = None
    started: int = 0
    stopped: list[int] = field(default_factory=list)

    def start(self) -> None:
        self.started += 1

    def stop(self, signal: int = 0) -> None:
        self.stopped.append(signal)

    def holds_program(self) -> bool:
        return False

    def is_stopped(self) -> bool:
        return bool(self.stopped)

    def ending(self) -> Ended | None:
        return self.ended

    def wait(self, seconds: float | None = None) -> Ended | None:
        return self.ended


@asynccontextmanager
async def cockpit(source, *, size=(120, 40), settings=None, training=None, cannot_detach=NOT_HERE):
    app = CockpitApp(
        Session(source),
        settings=settings or Settings(reduced_motion=True, poll_rate=10),
        training=training,
        cannot_detach=cannot_detach,
    )
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.pause(0.2)
        yield app, pilot


async def until(pilot, holds, seconds: float = 5) -> None:
    """Let the app go on until `holds()`."""
    for _ in range(int(seconds / 0.05)):
        if holds():
            return
        await pilot.pause(0.05)
    assert holds()


def main_of(app: CockpitApp) -> MainScreen:
    return next(screen for screen in app.screen_stack if isinstance(screen, MainScreen))


def answer(app: CockpitApp) -> str:
    return main_of(app).answers.text


def shown(app: CockpitApp) -> str:
    return "\n".join("".join(part.text for part in strip) for strip in app.screen._compositor.render_strips())


async def test_every_tab_is_shown_by_its_key_and_by_walking(recorded):
    async with cockpit(recorded, size=(80, 24)) as (app, pilot):
        for number, name in enumerate(TABS.values(), start=2):
            await pilot.press(f"f{number}")
            assert main_of(app).tab == name
            assert f"[{name}]" in shown(app)
        await pilot.press("full_stop")
        assert main_of(app).tab == "charts"
        await pilot.press("comma")
        assert main_of(app).tab == "layers"


@pytest.mark.parametrize(("size", "has_side"), [((80, 24), False), ((120, 40), True), ((200, 50), True)])
async def test_a_side_column_stands_where_there_is_room(recorded, size, has_side):
    async with cockpit(recorded, size=size) as (app, pilot):
        side = main_of(app).query_one("#side")
        assert side.display is has_side
        await until(pilot, lambda: ("skipped steps" in shown(app)) is has_side)


async def test_the_layout_follows_the_terminal_down_to_too_small_and_back(recorded):
    async with cockpit(recorded) as (app, pilot):
        await pilot.resize_terminal(50, 12)
        await until(pilot, lambda: "50 x 12 is too small for the cockpit" in shown(app))
        assert not any(panel.region for panel in main_of(app).query(Panel))
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "[charts]" in shown(app))


async def test_hidden_panels_are_not_handed_anything_and_get_everything_when_they_return(recorded, monkeypatch):
    taken: list[SessionUpdate] = []
    monkeypatch.setattr(PhasesPanel, "apply_update", lambda self, session, update: taken.append(update))
    async with cockpit(recorded, size=(80, 24)) as (_, pilot):
        await pilot.pause(0.3)
        assert taken == []
        await pilot.press("f3")
        assert taken[:1] == [FULL_UPDATE]


async def test_a_key_that_was_put_elsewhere_works_there_and_nowhere_else(recorded):
    settings = Settings(keys=remap({"show_events": ["z"], "theme": []}))
    async with cockpit(recorded, settings=settings) as (app, pilot):
        theme = app.theme
        await pilot.press("f5", "t")
        assert (main_of(app).tab, app.theme) == ("charts", theme)
        await pilot.press("z")
        assert main_of(app).tab == "events"


async def test_themes_take_turns(recorded):
    async with cockpit(recorded) as (app, pilot):
        assert app.theme == "cockpit-dark"
        await pilot.press("t")
        assert app.theme == "cockpit-light" and not app.current_theme.dark
        await pilot.press("t", "t", "t")
        assert app.theme == "cockpit-dark"


async def test_an_unknown_theme_is_a_mistake_of_the_settings(recorded):
    with pytest.raises(UserError, match="did you mean 'cockpit-dark'"):
        CockpitApp(Session(recorded), settings=Settings(theme="cockpit-drak"))


async def test_help_tells_of_what_is_seen_and_the_map_of_every_key(recorded):
    async with cockpit(recorded, size=(120, 50)) as (app, pilot):
        await pilot.press("f5", "f1")
        assert isinstance(app.screen, HelpScreen) and "Help: events" in shown(app)
        await pilot.press("escape", "question_mark")
        assert isinstance(app.screen, KeyMapScreen)
        words = " ".join("\n".join(str(part.render()) for part in app.screen.query(Static)).split())
        assert all(key.help in words for key in keys_for(KEYS, SPEC))


async def test_help_shows_the_page_of_the_manual_for_every_tab(recorded):
    async with cockpit(recorded, size=(120, 50)) as (app, pilot):
        for number, tab in enumerate(TABS.values(), start=2):
            await pilot.press(f"f{number}", "f1")
            await pilot.pause(0.2)
            name, title = PAGE_OF[tab]
            page = app.screen.query_one("#page", Static)
            app.screen.query_one(VerticalScroll).scroll_to_widget(page, animate=False, top=True)
            await until(pilot, lambda title=title: title in shown(app))
            assert f"main.py docs {name}" in " ".join(str(part.render()) for part in app.screen.query(Static))
            await pilot.press("escape")


async def test_the_palette_finds_an_action_says_what_it_would_do_and_does_it(recorded):
    async with cockpit(recorded) as (app, pilot):
        await pilot.press("colon", *"events")
        await until(pilot, lambda: "everything that happened" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: main_of(app).tab == "events")
        await pilot.press("ctrl+p", *"lower")
        await until(pilot, lambda: "halve the learning rate - not now: the run 'demo' is not running" in shown(app))


async def test_the_first_time_there_is_a_hint_until_help_was_opened_once(recorded, home):
    home.unlink()
    async with cockpit(recorded) as (app, pilot):
        assert "New here?" in shown(app)
        await pilot.press("question_mark", "escape")
        await until(pilot, lambda: "New here?" not in shown(app))
    async with cockpit(recorded) as (app, _):
        assert "New here?" not in shown(app)


async def test_a_screenshot_lies_beside_the_run(recorded):
    async with cockpit(recorded) as (app, pilot):
        await pilot.press("S")
        await until(pilot, lambda: "screen-" in answer(app))
        (picture,) = recorded.glob("screen-*-charts.svg")
        assert picture.read_text().startswith("<svg")
        assert picture.name in answer(app)
        picture.unlink()


@pytest.mark.parametrize(("size", "num_ways"), [((80, 24), 2), ((120, 40), 4), ((200, 50), 4)], ids=str)
async def test_the_end_says_how_it_was_its_best_value_and_what_can_be_done(tmp_path, size, num_ways):
    with closing(live_run(tmp_path / "live")) as run:
        run.validate()
        run.save(good=True)
        training = FakeTraining()
        async with cockpit(run.directory, size=size, training=training) as (app, pilot):
            run.note(RunFinished("complete", 65.0))
            training.ended = Ended(0)
            await until(pilot, lambda: "steps are done" in shown(app))
            said = str(main_of(app).query_one("#ending").render())
            assert "steps are done; best mIoU 0." in said and "q leaves" in said
            ways = ("--resume live", "plot live", "events live", "redrive live")
            assert [way in said for way in ways] == [number < num_ways for number in range(4)]
            assert ("also: events, redrive" in " ".join(said.split())) is (num_ways < 4)
            assert "took 1 min 05 s" in shown(app)
            for word in ("no writer", "unknown", "steps/s", "[p]", "[T]", "[G]", "space pause"):
                assert word not in shown(app)
            await pilot.press("l")
            assert answer(app) == "✗ lower LR: refused: the run is finished"


async def test_a_failed_training_shows_the_log(recorded):
    training = FakeTraining()
    async with cockpit(recorded, training=training) as (app, pilot):
        training.ended = Ended(1, "RuntimeError: \x1b[31mout of memory")
        await until(pilot, lambda: "RuntimeError: \\x1b[31mout of memory" in shown(app))
        assert main_of(app).tab == "log"


async def test_a_mistake_of_the_user_closes_the_screen(recorded):
    training = FakeTraining(ended=Ended(2, "there is no such config"))
    async with cockpit(recorded, training=training) as (app, pilot):
        await until(pilot, lambda: not app.is_running)


async def test_messages_of_panels_are_obeyed(tmp_path):
    with closing(live_run(tmp_path / "live")) as run:
        async with cockpit(run.directory) as (app, pilot):
            app.screen.post_message(Ask("show_events"))
            await until(pilot, lambda: main_of(app).tab == "events")
            app.screen.post_message(Steer(AddNote("hello")))
            await until(
                pilot, lambda: any(pending.command == AddNote("hello") for pending in app._controller.session.pending)
            )
            app.screen.post_message(JumpTo(10))
            await until(pilot, lambda: main_of(app).tab == "charts")


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_a_text_that_changes_again_right_after_a_layout_has_the_room_it_needs(recorded, is_replaced):
    async with cockpit(recorded) as (app, pilot):
        await pilot.press("f5")
        text = Static("first")
        text.styles.width = "auto"
        await app.screen.query_one(EventsPanel).status.parent.mount(text)
        await until(pilot, lambda: text.region.width > 0 and not text._layout_required)
        text.update("short")
        text.parent._clear_arrangement_cache()  # as where what is next to it has asked for a layout
        app.screen._refresh_layout()
        assert text.region.width == len("short") + text.gutter.width
        text.update("much longer")
        if is_replaced:  # another widget asks before the screen comes to it: Textual keeps the newest request only
            text._check_refresh()
            app.screen.post_message(Layout(text.parent))
        await until(pilot, lambda: text.region.width == len("much longer") + text.gutter.width)


async def test_a_fault_on_the_way_out_is_logged_and_raises_no_other(recorded, caplog):
    async with cockpit(recorded) as (app, _):
        pass
    assert not app.screen_stack
    app._fault(ZeroDivisionError("too late"))
    assert "too late" in caplog.text and not app.gave_up


async def test_a_panel_that_cannot_take_news_is_switched_off_after_three_times(recorded, monkeypatch):
    def apply_update(self, session, update):
        raise ZeroDivisionError("a broken header [red]")

    monkeypatch.setattr(Header, "apply_update", apply_update)
    async with cockpit(recorded) as (app, pilot):
        for _ in range(4):
            app._controller.screen.apply_update(FULL_UPDATE)
            await pilot.pause(0.05)
        await until(pilot, lambda: "is switched off" in shown(app))
        (notice,) = main_of(app).query(".switched-off")
        assert str(notice.render()) == "! Run is switched off after a fault: ZeroDivisionError: a broken header [red]"
        assert not main_of(app).query_one(Header).display
        assert app.is_running and "[charts]" in shown(app)
        app._exception = None


async def test_a_panel_that_cannot_be_drawn_is_switched_off(recorded, monkeypatch):
    def render_line(self, y):
        raise ZeroDivisionError("cannot be drawn")

    monkeypatch.setattr(PhasesPanel, "render_line", render_line)
    async with cockpit(recorded, size=(80, 24)) as (app, pilot):
        await pilot.press("f3")
        await until(pilot, lambda: "Phases is switched off after a fault" in shown(app))
        await pilot.press("f2")
        await until(pilot, lambda: main_of(app).tab == "charts")
        app._exception = None


async def test_a_key_whose_action_fails_leaves_the_screen_alive(recorded, monkeypatch):
    def dispatch(self, action):
        raise ZeroDivisionError("no such move")

    monkeypatch.setattr(ChartGrid, "dispatch", dispatch)
    async with cockpit(recorded) as (app, pilot):
        await pilot.press("g")
        await until(pilot, lambda: "no such move" in answer(app))
        await pilot.press("f5")
        assert main_of(app).tab == "events"
        app._exception = None


async def test_a_screen_full_of_faults_gives_up(recorded, monkeypatch):
    def poll(self):
        raise ZeroDivisionError("nothing works")

    monkeypatch.setattr(Session, "poll", poll)
    async with cockpit(recorded, settings=Settings()) as (app, pilot):
        for _ in range(200):
            await pilot.pause(0.1)
            if not app.is_running:
                break
        assert app.gave_up and not app.is_running
        app._exception = None

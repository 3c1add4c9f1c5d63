"""The screen on runs of other processes: finished, live, foreign, deleted, resumed, and several in turn."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from cockpit.app.attached_app import AttachedApp
from cockpit.preferences.settings import ATTACH_LOG, Settings, attach_log
from cockpit.ui.screens.help import KeyMapScreen
from cockpit.ui.screens.main_screen import MainScreen
from cockpit.ui.screens.tab_bar import TABS
from cockpit.ui.screens.tabs import TabBody
from engine.journal.reader import JournalReader
from engine.journal.sender import send
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from tests.foreign_run import ForeignRun
from tests.panels.stage import text_of
from tests.recorded_run import RecordedRun, record_run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cockpit's state, in which the hints were seen."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "state" / "training-cockpit"
    folder.mkdir(parents=True)
    (folder / "hints-seen").touch()
    return folder


@asynccontextmanager
async def attached(run_dir: Path, *, can_steer: bool = True) -> AsyncGenerator[tuple[AttachedApp, Pilot[None]]]:
    app = AttachedApp(run_dir, settings=Settings(reduced_motion=True), can_steer=can_steer)
    async with app.run_test(size=(120, 40)) as pilot:
        yield app, pilot


async def until(pilot: Pilot[None], holds: Callable[[], bool], seconds: float = 8) -> None:
    """Let the app go on until `holds()`."""
    for _ in range(int(seconds / 0.05)):
        if holds():
            return
        await pilot.pause(0.05)
    assert holds(), text_of(pilot.app.screen)


async def seen(pilot: Pilot[None], *words: str) -> str:
    """Wait until all `words` are on the screen, and return its text."""
    await until(pilot, lambda: all(word in text_of(pilot.app.screen) for word in words))
    return text_of(pilot.app.screen)


def events_of(directory: Path, kind: type[e.Event]) -> list[e.Event]:
    with closing(JournalReader(directory)) as reader:
        return [entry.event for entry in reader.events() if isinstance(entry.event, kind)]


async def test_a_finished_run_is_read_on_every_tab_and_not_steered(tmp_path: Path) -> None:
    run_dir = record_run(tmp_path / "runs" / "done", steps=120, finished=True)
    (run_dir / "console.log").write_text("what the program said\n", encoding="utf-8")
    (run_dir / "config.yaml").write_text("training:\n  learning_rate: 0.25\n", encoding="utf-8")
    async with attached(run_dir) as (app, pilot):
        text = await seen(pilot, "120/1000", "finished", "q leaves", "? keys  q leave", "redrive done")
        assert "LR lower" not in text and "checkpoint  " not in text.splitlines()[-1]
        words = {"log": "what the program said", "config": "learning_rate", "events": "finished"}
        for number, name in enumerate(TABS.values(), start=2):
            await pilot.press(f"f{number}")
            await seen(pilot, f"[{name}]", words.get(name, ""))
        await pilot.press("l")
        await seen(pilot, "lower LR: refused", "the run is finished")
        await pilot.press("question_mark")
        assert isinstance(app.screen, KeyMapScreen)
        keys = " ".join("\n".join(str(part.render()) for part in app.screen.query(Static)).split())
        assert "halve the learning rate - not now: the run is finished" in keys
        assert "leave the screen; the run goes on" in keys
        assert "acknowledge the alert that is shown - not" not in keys and "list of runs - not" not in keys


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (e.RunFailed("the disk is full"), ("failed", "the disk is full")),
        (e.RunFinished("stopped", 3.0), ("stopped", "at step 20")),
        (None, ("its process left without finishing the run", "q leaves")),
    ],
    ids=["failed", "stopped", "killed"],
)
async def test_a_run_that_did_not_finish_says_how_it_ended(
    tmp_path: Path, end: e.Event | None, said: tuple[str, ...]
) -> None:
    run = RecordedRun(tmp_path / "runs" / "one")
    run.begin()
    run.train(20)
    if end is not None:
        run.note(end)
    run.close()
    async with attached(run.directory) as (_, pilot):
        text = await seen(pilot, *said, "one  ", "? keys  q leave", "20/1000")
        assert "steps/s" not in text and "LR lower" not in text


async def test_a_live_run_is_steered_through_its_journal(tmp_path: Path) -> None:
    with closing(RecordedRun(tmp_path / "runs" / "live")) as run:
        run.begin()
        run.train(20)
        lr = run.state.lr
        async with attached(run.directory) as (app, pilot):
            await seen(pilot, "live", "running", "LR lower", "? keys  q leave")
            await pilot.press("l")
            await until(pilot, lambda: bool(run.answer_commands()))
            await seen(pilot, "lower LR: applied")
            assert run.state.lr == pytest.approx(lr / 2)
            await pilot.press("q")
            await until(pilot, lambda: not app.is_running)
        assert app.return_code == 0
        assert events_of(run.directory, e.StopRequested) == []


async def test_a_command_of_another_screen_is_shown(tmp_path: Path) -> None:
    with closing(RecordedRun(tmp_path / "runs" / "live")) as run:
        run.begin()
        run.train(20)
        async with attached(run.directory) as (_, pilot):
            await seen(pilot, "running")
            run.note(e.Paused("running"), status=Status.APPLIED, actor="cli:ada")
            await seen(pilot, "paused", "space resume")
            await pilot.press("f5")
            await seen(pilot, "cli:ada")


async def test_each_screen_tells_which_other_one_has_just_steered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(ForeignRun(tmp_path / "runs" / "own")) as run:
        run.train(4)
        send(run.directory, c.AddNote("of the past"), "cockpit@pts/7")
        run.answer_commands()
        monkeypatch.setattr("cockpit.ui.dialogs.dispatcher._NEW_SECONDS", 0.0)
        monkeypatch.setattr("os.ttyname", lambda _: "/dev/pts/3")
        async with attached(run.directory) as (_, pilot):
            await seen(pilot, "running", "4/400")
            assert "cockpit@pts/7" not in text_of(pilot.app.screen)
            monkeypatch.setattr("cockpit.ui.dialogs.dispatcher._NEW_SECONDS", 10.0)
            send(run.directory, c.ScaleLr(0.5), "cockpit@pts/7")
            run.answer_commands()
            await seen(pilot, "cockpit@pts/7: applied at step 4: learning rate")
            await pilot.press("l")
            await until(pilot, lambda: bool(run.answer_commands()))
            await seen(pilot, "lower LR: applied at step 4")
            assert "cockpit@pts/3" not in text_of(pilot.app.screen)
    with closing(JournalReader(run.directory)) as reader:
        steered = [entry.actor for entry in reader.events() if isinstance(entry.event, e.LrScaled)]
    assert steered == ["cockpit@pts/7", "cockpit@pts/3"]


async def test_a_viewer_saves_its_picture_in_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = record_run(tmp_path / "runs" / "one", steps=20)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    async with attached(run_dir, can_steer=False) as (_, pilot):
        await seen(pilot, "20/1000")
        await pilot.press("S")
        await until(pilot, lambda: [path.name for path in Path.cwd().iterdir()] == ["screen-00000020-charts.svg"])
    assert not list(run_dir.glob("*.svg"))


async def test_a_viewer_sends_nothing(tmp_path: Path) -> None:
    with closing(RecordedRun(tmp_path / "runs" / "live")) as run:
        run.begin()
        run.train(20)
        async with attached(run.directory, can_steer=False) as (_, pilot):
            assert "LR lower" not in await seen(pilot, "running", "read-only")
            await pilot.press("l", "space", "c")
            await seen(pilot, "refused", "this screen is read-only")
        assert run.answer_commands() == []


async def test_a_run_without_a_first_state_is_starting(tmp_path: Path) -> None:
    with closing(RecordedRun(tmp_path / "runs" / "new")) as run:
        async with attached(run.directory) as (_, pilot):
            await seen(pilot, "starting", "new")
            run.begin()
            run.train(5)
            await seen(pilot, "5/1000")


async def test_a_run_that_is_resumed_by_another_process_is_followed(tmp_path: Path) -> None:
    run_dir = record_run(tmp_path / "runs" / "one", steps=40, finished=True)
    async with attached(run_dir) as (_, pilot):
        await seen(pilot, "finished", "q leaves")
        with closing(RecordedRun(run_dir, activity=Activity.RUNNING)) as run:
            run.begin()
            run.train(50)
            assert "q leaves" not in await seen(pilot, "50/1000", "running", "LR lower")
            await pilot.press("l")
            await until(pilot, lambda: bool(run.answer_commands()))
            await seen(pilot, "lower LR: applied")


async def test_a_deleted_run_stays_on_the_screen_and_says_so_without_a_break(tmp_path: Path) -> None:
    run_dir = record_run(tmp_path / "runs" / "one", steps=20)
    async with attached(run_dir) as (app, pilot):
        await seen(pilot, "20/1000")
        run_dir.rename(tmp_path / "moved")
        await seen(pilot, "its directory is gone", "20/1000")
        for _ in range(30):
            await pilot.pause(0.05)
            assert "its directory is gone" in text_of(app.screen)
        await pilot.press("l")
        await seen(pilot, "lower LR: refused")
        (tmp_path / "moved").rename(run_dir)
        await until(pilot, lambda: "its directory is gone" not in text_of(app.screen))


async def test_the_next_and_the_previous_run_are_one_key_away(tmp_path: Path) -> None:
    runs = [record_run(tmp_path / "runs" / name, steps=20 + number) for number, name in enumerate("abc")]
    for age, run_dir in enumerate(runs):
        os.utime(run_dir / "run.sqlite", (2e9 - age, 2e9 - age))  # `a` was started last
    async with attached(runs[0]) as (app, pilot):
        await seen(pilot, "20/1000")
        for key, says in (
            ("greater_than_sign", "run 2 of 3: b"),
            ("greater_than_sign", "run 3 of 3: c"),
            ("greater_than_sign", "run 1 of 3: a"),
            ("less_than_sign", "run 3 of 3: c"),
        ):
            await pilot.press(key)
            await seen(pilot, says, f"{20 + 'abc'.index(says[-1])}/1000")
            assert len([screen for screen in app.screen_stack if isinstance(screen, MainScreen)]) == 1
        shutil.rmtree(runs[2])
        await pilot.press("greater_than_sign")
        await seen(pilot, "run 1 of 2: a", "20/1000")


async def test_a_replaced_screen_makes_no_tab_anymore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = record_run(tmp_path / "runs" / "a", steps=20)
    async with attached(run_dir) as (app, pilot):
        await seen(pilot, "20/1000")
        replaced = app.screen
        assert isinstance(replaced, MainScreen)
        # A timer of the screen may come while its parts are removed: the charts are missing before the screen is.
        monkeypatch.setattr(TabBody, "has", lambda _, name: False)
        await replaced._make_next()
        await app.pop_screen()
        await replaced._make_next()
        replaced.show_tab("log")
        await pilot.pause()
        assert app.is_running


async def test_the_only_run_has_no_next_one(tmp_path: Path) -> None:
    async with attached(record_run(tmp_path / "runs" / "only", steps=20)) as (_, pilot):
        await seen(pilot, "20/1000")
        await pilot.press("greater_than_sign")
        await seen(pilot, "there is no other run in")


async def test_a_training_of_other_code_opens_like_any_other(tmp_path: Path) -> None:
    with closing(ForeignRun(tmp_path / "runs" / "own")) as run:
        async with attached(run.directory) as (_, pilot):
            await seen(pilot, "own", "running", "LR lower", "? keys  q leave")
            await pilot.press("p")
            await seen(pilot, "promote: refused", "an own loop has no phases")


async def test_ctrl_c_leaves_at_the_second_time(tmp_path: Path) -> None:
    async with attached(record_run(tmp_path / "runs" / "one", steps=20)) as (app, pilot):
        await seen(pilot, "20/1000")
        await pilot.press("ctrl+c")
        await seen(pilot, "ctrl+c again leaves the screen")
        assert app.is_running
        await pilot.press("ctrl+c")
        await until(pilot, lambda: not app.is_running)
    assert app.return_code == 0


def test_what_an_attached_screen_prints_goes_to_a_log_of_its_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert attach_log() == home / ATTACH_LOG
    file = home / "file"
    file.touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(file))
    assert attach_log() == Path(os.devnull)

"""The list of runs on the screen: opening a run and coming back, filter, sort, marks, and changes of runs."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.widgets import Input

from cockpit.app.runs_app import RunsApp
from cockpit.preferences.settings import Settings
from cockpit.session.run_list.catalogue import RunCatalogue
from cockpit.session.run_list.watcher import RunWatcher
from cockpit.ui.panels.comparing.screen import CompareScreen
from cockpit.ui.screens.help import RunKeysScreen
from cockpit.ui.screens.main_screen import MainScreen
from cockpit.ui.screens.runs.prompt import TextPrompt
from cockpit.ui.screens.runs.run_table import RunTable
from cockpit.ui.screens.runs.runs_screen import RunsScreen
from engine.journal.disk.labels import read_labels, set_note
from engine.journal.disk.run_dir import lock_run
from engine.journal.store import JOURNAL_FILE
from tests.many_runs import make_runs
from tests.panels.stage import text_of
from tests.recorded_run import RecordedRun


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the cockpit's state in which the hints were seen."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "state" / "training-cockpit").mkdir(parents=True)
    (tmp_path / "state" / "training-cockpit" / "hints-seen").touch()


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    make_runs(tmp_path / "runs", 3)
    return tmp_path / "runs"


class Stage:
    """The app on a directory; its list is read when `look` says."""

    def __init__(self, runs_dir: Path, settings: Settings) -> None:
        self.watcher = RunWatcher(RunCatalogue(runs_dir))
        self.app = RunsApp(runs_dir, self.watcher, settings=settings)
        self.pilot: Pilot[None]

    @property
    def text(self) -> str:
        return text_of(self.app.screen)

    def look(self) -> None:
        """Read the directory."""
        self.watcher.look_now()
        self.watcher.update()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        await self.pilot.press(*(_character_to_key(letter) for letter in text))

    async def seen(self, *words: str) -> str:
        await self.until(lambda: all(word in self.text for word in words))
        return self.text

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(200):
            if holds():
                return
            await self.pilot.pause(0.05)
            self.look()
        assert holds(), self.text


@asynccontextmanager
async def opened(
    runs_dir: Path, *, size: tuple[int, int] = (120, 30), settings: Settings | None = None
) -> AsyncGenerator[Stage]:
    stage = Stage(runs_dir, settings or Settings(reduced_motion=True))
    stage.look()
    async with stage.app.run_test(size=size) as pilot:
        stage.pilot = pilot
        await pilot.pause()
        yield stage


def rows(stage: Stage) -> list[str]:
    """The names of the runs on the screen, from top to bottom."""
    words = [line.replace("●", " ").split() for line in stage.text.splitlines()[3:]]
    return [line[0] for line in words if len(line) > 4 and line[1] in ("✓", "▶", "✗", "…")]


async def test_enter_opens_a_run_and_leaving_it_comes_back(runs_dir: Path) -> None:
    async with opened(runs_dir) as stage:
        await stage.seen("3 runs, by started", "tiny-0002", "✓ finished", "enter open")
        assert rows(stage) == ["tiny-0002", "tiny-0001", "tiny-0000"]
        await stage.press("down", "enter")
        await stage.until(lambda: isinstance(stage.app.screen, MainScreen))
        await stage.seen("120/1000", "q leave")
        await stage.press("greater_than_sign")
        await stage.seen("run 3 of 3: tiny-0000", "40/1000")
        await stage.press("question_mark")
        await stage.press("escape")
        await stage.press("q")
        await stage.until(lambda: isinstance(stage.app.screen, RunsScreen))
        assert len(stage.app.screen_stack) == 1 and stage.app.query_one(RunTable).cursor == 2
        await stage.press("up", "up", "enter")
        await stage.until(lambda: isinstance(stage.app.screen, MainScreen))
        await stage.seen("400/1000")
        await stage.press("ctrl+c", "ctrl+c")
        await stage.until(lambda: isinstance(stage.app.screen, RunsScreen))
        await stage.press("q")
        await stage.pilot.pause()
        assert not stage.app.is_running


@pytest.mark.parametrize("is_open", [False, True], ids=["list", "run"])
async def test_a_signal_ends_the_program_from_any_screen(runs_dir: Path, is_open: bool) -> None:
    async with opened(runs_dir) as stage:
        if is_open:
            await stage.press("enter")
            await stage.until(lambda: isinstance(stage.app.screen, MainScreen))
        stage.app.signalled(signal.SIGTERM)
        await stage.until(lambda: not stage.app.is_running)


async def test_the_filter_finds_while_it_is_typed_and_a_mistake_leaves_the_rows(runs_dir: Path) -> None:
    set_note(runs_dir / "tiny-0001", "the calm one")
    async with opened(runs_dir) as stage:
        await stage.press("slash")
        await stage.type("calm")
        assert rows(stage) == ["tiny-0001"] and "1 shown" in stage.text
        await stage.type(" lr<")
        assert "a name or a number is missing" in stage.text and rows(stage) == ["tiny-0001"]
        await stage.type("1")
        assert "is missing" not in stage.text and rows(stage) == ["tiny-0001"]
        await stage.press("enter", "q")
    async with opened(runs_dir) as stage:
        await stage.press("slash")
        await stage.type("step>50 c")
        await stage.press("down", "enter", "escape")
        assert stage.app.screen.query_one(Input).value == "" and len(rows(stage)) == 3


async def test_what_is_wrong_with_a_filter_has_a_line_of_its_own_below_it(runs_dir: Path) -> None:
    async with opened(runs_dir, size=(80, 24)) as stage:
        await stage.press("slash")
        await stage.type("lr<=")
        lines = await stage.seen("a name or a number is missing")
        found, *wrong = lines.splitlines()[1:4]
        assert "lr<=" in found and "missing" not in found
        assert "a name or a number is missing at the end" in " ".join(wrong) or "missing" in wrong[0]
        await stage.type("1")
        assert stage.text.splitlines()[2].split()[0] == "run"


async def test_rows_are_sorted_by_key_and_by_click(runs_dir: Path) -> None:
    async with opened(runs_dir) as stage:
        await stage.press("s")
        assert rows(stage) == ["tiny-0000", "tiny-0001", "tiny-0002"] and "by run" in stage.text
        await stage.press("S")
        assert rows(stage) == ["tiny-0002", "tiny-0001", "tiny-0000"]
        titles = stage.text.splitlines()[2]
        await stage.pilot.click("#runs-titles", offset=(titles.index("best") + 1, 0))
        await stage.pilot.pause()
        assert "by best" in stage.text and rows(stage) == ["tiny-0002", "tiny-0001", "tiny-0000"]
        await stage.pilot.click("#runs-titles", offset=(titles.index("best") + 1, 0))
        await stage.pilot.pause()
        assert rows(stage) == ["tiny-0000", "tiny-0001", "tiny-0002"]
        assert stage.app.query_one(RunTable).cursor == 2  # it stayed on its run
        await stage.pilot.click(RunTable, offset=(5, 0))
        assert stage.app.query_one(RunTable).cursor == 0
        await stage.pilot.click(RunTable, offset=(5, 0))
        await stage.until(lambda: isinstance(stage.app.screen, MainScreen))


async def test_marked_runs_are_compared(runs_dir: Path) -> None:
    async with opened(runs_dir) as stage:
        await stage.press("c")
        assert "mark two runs or more" in stage.text
        await stage.press("space", "down", "space", "c")
        await stage.until(lambda: isinstance(stage.app.screen, CompareScreen))
        await stage.seen("[charts]   config    interventions", "tiny-0002 | tiny-0000")
        await stage.press("question_mark")
        await stage.seen("go by step, epoch, samples or running time")
        await stage.press("escape", "escape")
        await stage.seen("[charts]   config    interventions")
        await stage.press("q")
        await stage.until(lambda: not isinstance(stage.app.screen, CompareScreen))
        assert "2 marked," in stage.text
        await stage.press("slash")
        await stage.type("0001")
        await stage.press("enter", "escape", "escape")
        assert " marked," not in stage.text


async def test_runs_are_labelled_renamed_and_deleted(runs_dir: Path) -> None:
    async with opened(runs_dir) as stage:
        await stage.press("n")
        await stage.type("a note")
        await stage.press("enter")
        await stage.seen("the note of tiny-0002 is written")
        await stage.press("t")
        await stage.type("base best")
        await stage.press("enter")
        await stage.seen("the tags of tiny-0002 are written", "base best")
        labels = read_labels(runs_dir / "tiny-0002")
        assert (labels.note, labels.tags) == ("a note", ("base", "best"))
        await stage.press("space", "up", "r", "ctrl+u")
        await stage.type("latest")
        await stage.press("enter")
        assert "cannot be a run's name" in stage.text
        await stage.press("ctrl+u")
        await stage.type("new")
        await stage.press("enter")
        await stage.seen("tiny-0002 is called new now", "formerly tiny-0002", "1 marked")
        assert rows(stage) == ["new", "tiny-0001", "tiny-0000"]
        await stage.press("x")
        await stage.type("ne")
        await stage.press("enter")
        assert "type new to delete it" in stage.text and (runs_dir / "new").exists()
        await stage.type("w")
        await stage.press("enter")
        await stage.seen("new is deleted", "2 runs")
        assert rows(stage) == ["tiny-0001", "tiny-0000"] and not (runs_dir / "new").exists()
        await stage.press("delete")
        assert isinstance(stage.app.screen, TextPrompt)
        await stage.press("escape")
        assert isinstance(stage.app.screen, RunsScreen)


async def test_a_look_while_the_list_closes_does_nothing(runs_dir: Path) -> None:
    async with opened(runs_dir) as stage:
        await stage.seen("3 runs, by started")
        await stage.app.screen.query_one("#runs-head").remove()
        with closing(RecordedRun(runs_dir / "new")) as run:
            run.begin()
        stage.look()
        stage.app.screen.tick()


async def test_a_run_in_use_is_refused_with_the_reason(runs_dir: Path) -> None:
    with closing(RecordedRun(runs_dir / "live")) as run:
        run.begin()
        run.train(20)
        async with opened(runs_dir) as stage:
            await stage.seen("4 runs, 1 live", "▶ running", "20/1000")
            for key, change in (("r", "renamed"), ("x", "deleted")):
                await stage.press(key)
                await stage.seen(f"live cannot be {change}: process")
                assert isinstance(stage.app.screen, RunsScreen)
            run.train(30)
            await stage.seen("30/1000")
    with lock_run(runs_dir / "tiny-0000"):
        async with opened(runs_dir) as stage:
            assert isinstance(stage.app.screen, RunsScreen)
            stage.app.screen.select("tiny-0000")
            await stage.press("r", "ctrl+u")
            await stage.type("other")
            await stage.press("enter")
            await stage.seen("the run 'tiny-0000' is in use by process")


async def test_keys_in_a_burst_act_on_the_run_under_the_cursor(runs_dir: Path) -> None:
    async with opened(runs_dir) as stage:
        table = stage.app.query_one(RunTable)
        table.action_move(1)
        assert isinstance(stage.app.screen, RunsScreen)
        stage.app.screen.dispatch("run_delete")  # before the message of the table is handled
        await stage.seen("Type its name to confirm: tiny-0001")


async def test_runs_that_cannot_be_opened_say_why(runs_dir: Path) -> None:
    (runs_dir / "tiny-0002" / JOURNAL_FILE).write_bytes(b"not a journal")
    async with opened(runs_dir) as stage:
        await stage.seen("✗ unreadable", "cannot open")
        await stage.press("enter")
        assert isinstance(stage.app.screen, RunsScreen)
        await stage.press("o")
        await stage.seen(str(runs_dir / "tiny-0002"))


async def test_an_empty_directory_says_how_to_begin(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    async with opened(tmp_path / "runs") as stage:
        said = " ".join(stage.text.split())
        assert "no runs in" in said and "main.py trains on the built-in people" in said
        assert "main.py run SCRIPT watches any PyTorch program" in said
        await stage.press("enter", "space", "x", "c", "r", "question_mark")
        assert isinstance(stage.app.screen, RunKeysScreen)
        assert "the language of its filter" in stage.text
        await stage.press("escape", "q")


async def test_a_small_terminal_says_what_it_needs(runs_dir: Path) -> None:
    async with opened(runs_dir, size=(50, 8)) as stage:
        assert "50 x 8 is too small for the list of runs" in stage.text
        await stage.pilot.resize_terminal(80, 24)
        await stage.seen("tiny-0002")


async def test_only_the_rows_on_the_screen_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(500):
        directory = tmp_path / "runs" / f"lost-{number:03d}" / "checkpoints"
        directory.mkdir(parents=True)
        (directory / "step-00000001.pt").touch()
    drawn: set[int] = set()
    real = RunsScreen._line

    def note(screen: RunsScreen, index: int) -> object:
        drawn.add(index)
        return real(screen, index)

    monkeypatch.setattr(RunsScreen, "_line", note)
    async with opened(tmp_path / "runs", size=(80, 24)) as stage:
        await stage.seen("500 runs", "✗ no journal")
        assert len(drawn) <= 24
        await stage.press("end")
        await stage.pilot.pause()
        assert 499 in drawn and len(drawn) <= 60
        await stage.press("enter")
        await stage.seen("--resume lost-499 goes on")


async def test_keys_are_those_of_the_settings(runs_dir: Path) -> None:
    settings = Settings(reduced_motion=True)
    moved = tuple(
        type(key)(key.action, ("z",), key.label, key.help, key.group, key.footer) if key.action == "run_sort" else key
        for key in settings.run_keys
    )
    async with opened(runs_dir, settings=Settings(reduced_motion=True, run_keys=moved)) as stage:
        await stage.press("s")
        assert "by started" in stage.text
        await stage.press("z")
        assert "by run" in stage.text

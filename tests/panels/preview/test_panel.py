"""The preview panel shows regions with prediction, truth and errors, on any terminal."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from textual.app import App, ComposeResult

from cockpit.session.session import Session
from cockpit.ui.panels.preview import graphics_support
from cockpit.ui.panels.preview.gallery import Gallery
from cockpit.ui.panels.preview.graphics_support import cell_size, image_widget, protocol_of
from cockpit.ui.panels.preview.half_blocks import MIN_COLUMNS, captions, grid_for, half_blocks
from cockpit.ui.panels.preview.half_blocks import Grid as PictureGrid
from cockpit.ui.panels.preview.layers import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    WRONG_CLASS,
    errors,
    layers_of,
    palette_of,
    scaled,
)
from cockpit.ui.panels.preview.panel import PreviewPanel
from engine.journal.task_meta import HAS_PREVIEWS
from engine.outputs.inspection.preview_writer import write_previews
from engine.outputs.preview_file import preview_path
from engine.tasks.person.spec import SPEC
from tests.panels.preview.regions import region
from tests.panels.stage import Stage
from tests.recorded_run import RecordedRun

Open = Callable[..., Session]
PALETTE = palette_of(SPEC.classes)


@pytest.fixture
def pictured(run: RecordedRun) -> Iterator[RecordedRun]:
    """A run with pictures of three validations, three regions each."""
    run.observe(step=30)
    for step in (10, 20, 30):
        write_previews(run.directory, step, tuple(region(f"images/{step}-{number}.jpg#1") for number in range(3)))
    yield run


@pytest.mark.parametrize("size", [(40, 18), (80, 22), (150, 46)])
async def test_the_newest_validation_is_shown_with_iou_layers_and_legend(
    pictured: RecordedRun, open_session: Open, size: tuple[int, int]
) -> None:
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=size) as pilot:
        await pilot.pause()
        said = " ".join(stage.shown.split())
        for word in ("validation at step 30", "region 1 of 3", "IoU target 0.600", "[all]", "predicted", "T target"):
            assert word in said
        assert "▀" in stage.shown


async def test_arrows_go_through_regions_and_validations(pictured: RecordedRun, open_session: Open) -> None:
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(120, 30)) as pilot:
        stage.panel.focus()
        await pilot.press("right")
        await pilot.pause()
        assert "region 2 of 3" in stage.shown and "images/30-1.jpg#1" in stage.shown
        await pilot.press("left", "left")
        await pilot.pause()
        assert "region 3 of 3" in stage.shown
        await pilot.press("down")
        await pilot.pause()
        assert "validation at step 20" in stage.shown and "images/20-2.jpg#1" in stage.shown
        await pilot.press("down", "down", "down")
        await pilot.pause()
        assert "validation at step 10" in stage.shown
        await pilot.press("end")
        await pilot.pause()
        assert "validation at step 30" in stage.shown


async def test_enter_and_clicks_go_through_layers(pictured: RecordedRun, open_session: Open) -> None:
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(120, 30)) as pilot:
        stage.panel.focus()
        await pilot.press("enter")
        await pilot.pause()
        assert "[predicted]" in stage.shown
        await pilot.click(offset=stage.find("error"))
        await pilot.pause()
        assert "[error]" in stage.shown
        await pilot.press("enter", "enter", "enter", "enter")
        await pilot.pause()
        assert "[all]" in stage.shown


async def test_a_new_validation_is_shown_unless_somebody_looks_back(pictured: RecordedRun, open_session: Open) -> None:
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(120, 30)) as pilot:
        write_previews(pictured.directory, 40, (region(),))
        stage.look()
        await pilot.pause()
        assert "validation at step 40" in stage.shown
        stage.panel.focus()
        await pilot.press("down")
        write_previews(pictured.directory, 50, (region(),))
        stage.look()
        await pilot.pause()
        assert "validation at step 30" in stage.shown


async def test_without_colour_letters_stand_for_classes(
    pictured: RecordedRun, open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(80, 22)) as pilot:
        stage.panel.focus()
        await pilot.press("enter", "enter")
        await pilot.pause()
        assert "▀" not in stage.shown
        drawn = [line for line in stage.shown.splitlines() if set(line) <= set(".TO") and line]
        half = len(drawn[0]) // 2
        assert drawn[0] == "T" * half + "." * half
        assert drawn[-1] == "." * half + "O" * half


async def test_before_the_first_validation_it_says_so(run: RecordedRun, open_session: Open) -> None:
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(80, 10)) as pilot:
        stage.panel.focus()
        await pilot.press("left", "up", "down", "enter", "end")
        await pilot.pause()
        assert "no pictures yet: each validation writes some" in stage.shown


async def test_a_task_without_previews_is_told_from_one_before_its_first_validation(
    run: RecordedRun, open_session: Open
) -> None:
    run.journal.set_meta(HAS_PREVIEWS, False)
    run.begin()
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(80, 10)):
        assert "no pictures: the task has no previews" in stage.shown and "yet" not in stage.shown


async def test_a_damaged_file_is_told_of_and_the_others_stay(pictured: RecordedRun, open_session: Open) -> None:
    preview_path(pictured.directory, 30).write_bytes(b"PK\x03\x04")
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "cannot read step-00000030.npz" in stage.shown
        stage.panel.focus()
        await pilot.press("down")
        await pilot.pause()
        assert "validation at step 20" in stage.shown


async def test_a_hostile_file_name_is_shown_literally(run: RecordedRun, open_session: Open) -> None:
    write_previews(run.directory, 10, (region("[red]x\x1b[31m\u202e.jpg#1"),))
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(130, 24)) as pilot:
        await pilot.pause()
        assert r"[red]x\x1b[31m\u202e.jpg#1" in stage.shown


async def test_resizing_draws_again(pictured: RecordedRun, open_session: Open) -> None:
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(150, 46)) as pilot:
        await pilot.pause()
        wide = stage.shown
        await pilot.resize_terminal(40, 18)
        await pilot.pause()
        assert stage.shown != wide
        assert all(len(line) <= 40 for line in stage.shown.splitlines())


def test_a_gallery_follows_a_run_that_went_back(tmp_path: Path) -> None:
    for step in (10, 20):
        write_previews(tmp_path, step, (region(),))
    gallery = Gallery()
    assert gallery.open(tmp_path)
    assert gallery.step == 20
    preview_path(tmp_path, 20).unlink()
    assert gallery.look()
    assert gallery.step == 10
    assert not gallery.look()
    preview_path(tmp_path, 10).unlink()
    assert gallery.look()
    assert gallery.preview is None


def test_each_kind_of_error_is_told_apart() -> None:
    label = np.array([[0, 1, 2, 0, 1, 2]], np.uint8)
    seen = np.array([[0, 1, 2, 1, 0, 1]], np.uint8)
    assert errors(label, seen).tolist() == [[0, 0, 0, FALSE_POSITIVE, FALSE_NEGATIVE, WRONG_CLASS]]


@pytest.mark.parametrize(("size", "mask"), [(64, 64), (64, 16), (16, 64), (128, 32)])
def test_image_and_mask_may_differ_in_size(size: int, mask: int) -> None:
    layers = layers_of(region(size=size, mask=mask), PALETTE)
    assert [layer.name for layer in layers] == ["predicted", "truth", "error", "image", "outline", "distance"]
    for layer in layers:
        assert layer.picture_HWC.shape == (max(size, mask), max(size, mask), 3)
        assert layer.letters_HW.shape == (max(size, mask), max(size, mask))


def test_a_network_without_heads_has_no_layers_for_them() -> None:
    assert [layer.name for layer in layers_of(region(heads=False), PALETTE)] == ["predicted", "truth", "error", "image"]


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (32, 16), (64, 64), (100, 130)])
def test_scaling_keeps_the_mean(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    smaller = scaled(picture, size)
    assert smaller.shape == (*size, 3)
    assert abs(float(smaller.mean()) - float(picture.mean())) < 1.0


def test_half_blocks_hold_two_pixels_and_join_equal_neighbours() -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[0, 2] = (255, 0, 0)
    (line,) = half_blocks(picture)
    assert [segment.text for segment in line] == ["▀▀", "▀"]
    style = line[1].style
    assert style is not None and style.color is not None and style.bgcolor is not None
    assert style.color.get_truecolor() == (255, 0, 0)
    assert style.bgcolor.get_truecolor() == (0, 0, 0)


ROOMS = {
    "80x24 below a banner": (80, 6),
    "80x24": (80, 14),
    "120x40 below a banner": (120, 25),
    "120x40": (120, 30),
    "200x50 below a banner": (200, 36),
    "200x50": (200, 40),
    "narrow": (40, 12),
    "small": (24, 10),
    "tiny": (10, 3),
}
"""Cells that the preview panel leaves for pictures in terminals of these sizes."""


def every_grid(count: int, width: int, height: int, aspect: float) -> list[tuple[int, int]]:
    """Every width of a picture in every grid that fits with titles and gaps, and the area of the pictures."""
    found: list[tuple[int, int]] = []
    for across in range(1, count + 1):
        for down in range(1, count + 1):
            for wide in range(1, width + 1):
                if across * (wide + 2) - 2 <= width and down * (wide * aspect / 2 + 1) <= height:
                    found.append((wide, min(count, across * down) * wide * max(round(wide * aspect / 2), 1)))
    return found


@pytest.mark.parametrize("aspect", [1.0, 0.5, 1.5])
@pytest.mark.parametrize("count", [1, 2, 4, 6, 9])
@pytest.mark.parametrize("room", ROOMS)
def test_pictures_use_the_room_there_is(room: str, count: int, aspect: float) -> None:
    width, height = ROOMS[room]
    grid = grid_for(count, width, height, aspect)
    assert grid.across * (grid.width + 2) - 2 <= width
    assert grid.down * (grid.height + 1) <= height
    possible = every_grid(count, width, height, aspect)
    legible = [area for wide, area in possible if wide >= MIN_COLUMNS] or [area for _, area in possible]
    assert 2 * grid.area(count) >= max(legible)
    assert grid.area(count) in legible
    assert grid.width >= MIN_COLUMNS or max(wide for wide, _ in possible) < MIN_COLUMNS


@pytest.mark.parametrize(
    ("room", "grid"),
    {
        "80x24 below a banner": (6, 1, 10, 5),
        "80x24": (4, 1, 18, 9),
        "120x40 below a banner": (3, 2, 22, 11),
        "120x40": (3, 2, 28, 14),
        "200x50 below a banner": (3, 2, 34, 17),
        "200x50": (3, 2, 38, 19),
    }.items(),
)
def test_six_square_pictures_in_the_usual_terminals(room: str, grid: tuple[int, int, int, int]) -> None:
    found = grid_for(6, *ROOMS[room], 1.0)
    assert (found.across, found.down, found.width, found.height) == grid


def test_captions_are_cut_with_a_sign_and_the_last_one_counts_the_layers_without_room() -> None:
    layers = layers_of(region(), PALETTE)
    names = captions(PictureGrid(2, 1, 6, 4), layers, layers[:2], "…")
    assert names == ["predi…", f"tr… +{len(layers) - 2}"]
    assert captions(PictureGrid(2, 2, 30, 4), layers, layers, "…") == [layer.name for layer in layers]


async def test_all_layers_say_how_many_have_no_room(pictured: RecordedRun, open_session: Open) -> None:
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(80, 17)) as pilot:
        await pilot.pause()
        assert "[all]" in stage.shown and " +" in stage.shown


async def test_a_low_panel_shows_pictures_over_its_whole_width(pictured: RecordedRun, open_session: Open) -> None:
    stage = Stage(PreviewPanel(), open_session())
    async with stage.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        drawn = [line for line in stage.shown.splitlines() if "▀" in line]
        assert drawn
        assert all(line.count("▀") >= 60 for line in drawn)


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "foot-extra"}, "sixel"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "sixel"),
        ({"TERM": "xterm-256color"}, ""),
        ({"TERM": "tmux-256color", "TMUX": "/x", "KITTY_WINDOW_ID": "1"}, ""),
        ({"TERM": "screen", "STY": "1"}, ""),
        ({}, ""),
    ],
)
def test_the_terminal_is_known_by_its_environment(environment: dict[str, str], protocol: str) -> None:
    assert protocol_of(environment) == protocol


def test_a_cell_has_a_usual_size_where_the_terminal_does_not_say(tmp_path: Path) -> None:
    with (tmp_path / "no terminal").open("w") as file:
        assert cell_size(file.fileno()) == (10, 20)


async def wait_for(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("protocol", ["kitty", "sixel"])
async def test_real_pixels_go_through_the_driver_and_nobody_is_asked(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard output leads to the log while a screen runs: nothing may go there, nor be asked there."""
    from cockpit.ui.panels.preview.pixels import GraphicPictures

    written: list[str] = []
    astray = io.StringIO()
    monkeypatch.setattr(sys, "__stdout__", SimpleNamespace(isatty=lambda: True, write=astray.write, flush=lambda: None))
    for name in [name for name in sys.modules if name.startswith("textual_image")]:
        monkeypatch.delitem(sys.modules, name)
    pictures = GraphicPictures(lambda: image_widget(protocol, (8, 16), written.append))  # type: ignore[arg-type]

    class Alone(App[None]):
        def compose(self) -> ComposeResult:
            yield pictures

    async with Alone().run_test(size=(100, 40)) as pilot:

        def drawn_now() -> str:
            return "".join(segment.text for strip in pilot.app.screen._compositor.render_strips() for segment in strip)

        pictures.show(layers_of(region(heads=False), PALETTE))
        await wait_for(
            lambda: ("".join(written).count("a=p,") if protocol == "kitty" else drawn_now().count("\x1bP")) == 4
        )
        assert len(pictures.children) == 4
        drawn = drawn_now()
        places = [child.children[1].region for child in pictures.children]
    assert astray.getvalue() == ""
    assert ("\x1b_G" in "".join(written)) == (protocol == "kitty")
    assert ("\x1bP" in drawn) == (protocol == "sixel")
    for place in places if protocol == "sixel" else ():
        assert f"\x1b[{place.y + 1};{place.x + 1}H\x1bP" in drawn
        assert f"\x1b\\\x1b[{place.bottom};{place.right + 1}H" in drawn, "the rest of its last line goes on there"


async def test_pictures_that_are_replaced_while_they_are_built_end_no_screen() -> None:
    from cockpit.ui.panels.preview.pixels import GraphicPictures

    written: list[str] = []
    pictures = GraphicPictures(lambda: image_widget("kitty", (8, 16), written.append))

    class Alone(App[None]):
        def compose(self) -> ComposeResult:
            yield pictures

    layers = layers_of(region(heads=False), PALETTE)
    async with Alone().run_test(size=(100, 40)) as pilot:
        for pause in range(12):
            pictures.show(layers[: 1 + pause % 2])
            for _ in range(pause):
                await asyncio.sleep(0)
        pictures.show(layers[:3])
        await wait_for(lambda: len(pictures.children) == 3 and "".join(written).count("a=p,") >= 3)
        assert pilot.app.is_running
        pictures.show(())
        await wait_for(lambda: not pictures.children)
        sent = set(re.findall(r"a=p,i=(\d+)", "".join(written)))
        assert sent == set(re.findall(r"a=d,d=I,i=(\d+)", "".join(written))), "none is left behind"


async def test_without_textual_image_half_blocks_are_drawn_and_one_sentence_says_what_to_install(
    pictured: RecordedRun, open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphics_support, "find_spec", lambda name: None)
    monkeypatch.setattr(Stage, "is_headless", False)
    stage = Stage(PreviewPanel(graphics="kitty"), open_session())
    async with stage.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        assert "this terminal can show real pixels: pip install 'training-cockpit[images]'" in stage.shown
        assert "validation at step 30" in stage.shown

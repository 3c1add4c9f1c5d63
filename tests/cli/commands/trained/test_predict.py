"""`main.py predict` on a trained network: regions as in validation, its files, one sentence per mistake."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

import main
from cockpit.cli.arguments import parse_arguments
from cockpit.cli.commands.trained import terminal_picture
from cockpit.cli.commands.trained.predict import MOST_PICTURES, free_output, run_predict
from cockpit.cli.commands.trained.terminal_picture import cells, draw_picture
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.outputs.inference.prediction import GivenBoxes, ImageResult, OnImage, PredictReport, PredictRequest
from engine.task import Sample, Task, untapped
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.inference.predictor import PersonPredictor
from engine.tasks.person.spec import SPEC
from engine.tasks.person.task import PersonTask
from engine.training.checkpoint.file import BEST
from engine.training.inference import predict
from engine.training.inference.trained_model import open_trained
from tests.faulty import run
from tests.small import SECTIONS, small_config
from tests.tasks.person.data.builders import gradient, write_coco


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("predicted") / "data")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run of two steps on the images of `data`."""
    directory = tmp_path_factory.mktemp("trained") / "run"
    config = small_config(training={"max_steps": 2}, data={"path": str(data)})
    assert run(directory, config) == 0
    return directory


def as_batch(samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([sample.tensors[name] for sample in samples]) for name in samples[0].tensors}


def predicted(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main.main(["predict", *map(str, words), "--device", "cpu"])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({}, {}),
        ({"roi_padding": 0.25}, {"box_channel": True, "roi_size": 32, "roi_width": 16}),
        ({"keep_aspect": True, "roi_padding": 0.1}, {"roi_width": 32, "mask_width": 48}),
    ],
)
def test_regions_and_answers_are_those_of_the_validation_bit_for_bit(
    data: Path, tmp_path: Path, fields: dict[str, Any], shape: dict[str, Any]
) -> None:
    model = {**SECTIONS["model"], **shape}
    config = cast(PersonConfig, small_config(data={"path": str(data), **fields}, model=model))
    boxes = GivenBoxes(data / "instances_val.json")
    request = PredictRequest(Path("none"), (data / "images",), boxes, tmp_path / "out")
    predictor = PersonPredictor(config, request)
    task = PersonTask()
    samples = task.open_data(config).val
    expected = as_batch([samples.sample(0, index) for index in range(len(samples))])
    parts = [predictor.read(index).tensors for index in range(len(predictor.names))]
    found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    predictor.cancel()
    assert all(torch.equal(values, expected[name]) for name, values in found.items())
    network = task.build_model(config).eval()
    with torch.no_grad():
        answers = [task.forward(network, batch, frozenset(), untapped).log_probs_N3HW for batch in (found, expected)]
    assert answers[0].shape[0] == 4 and torch.equal(*answers)


def test_masks_are_those_of_the_network_in_the_pixels_of_the_image(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gradient(64, 48).save(tmp_path / "photo.png")
    words = (trained / CHECKPOINTS / BEST, tmp_path / "photo.png", "--box", "8,8,16,16", "--output", tmp_path / "out")
    code, out, err = predicted(capsys, *words, "--masks", "--threshold", "0.2", "--json")
    report = json.loads(out)
    assert (code, err) == (0, "") and report["masks"] == 1 and report["problems"] == []
    (entry,) = json.loads((tmp_path / "out" / "predictions.json").read_text())
    mask_HW = coco_mask.decode(entry["segmentation"]).astype(bool)
    opened = open_trained(trained, device="cpu")
    region = np.asarray(gradient(64, 48))[8:24, 8:24]
    image = torch.from_numpy(region.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        outputs = opened.task.forward(opened.model, {"image_N3HW": image}, opened.components, untapped)
    expected_HW = np.zeros((48, 64), dtype=bool)
    expected_HW[8:24, 8:24] = outputs.log_probs_N3HW[0, 1].exp().numpy() >= 0.2
    np.testing.assert_array_equal(mask_HW, expected_HW)
    assert entry["bbox"] == [8, 8, 16, 16] and entry["category_id"] == 1 and entry["file_name"] == "photo.png"
    with Image.open(tmp_path / "out" / "masks" / "photo-1.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask) == 255, expected_HW)
    with Image.open(tmp_path / "out" / "overlays" / "photo.png") as overlay:
        assert overlay.size == (64, 48) and overlay.mode == "RGB"


def test_a_bad_image_and_a_bad_box_are_reported_and_the_others_go_on(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    grey = np.asarray(gradient(60, 50).convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "deep.png")
    gradient(60, 50).convert("P").save(folder / "palette.png")
    (folder / "broken.png").write_bytes(b"not an image")
    gradient(30, 20).save(folder / "small.png")
    words = ("--box", "2,2,20,15", "--box", "40,25,15,15", "--output", tmp_path / "out")
    code, out, err = predicted(capsys, trained, folder, *words)
    assert code == 2 and "5 masks in 3 images" in out and "2 problems, listed above" in out
    assert "\u2580" not in out, "a picture in a pipe"
    assert [line.partition(": ")[0] for line in err.splitlines()] == ["broken.png", "small.png"]
    assert "the box of --box 2, (40, 25, 55, 40), is outside the image of 30 x 20 pixels" in err
    assert sorted(file.stem for file in (tmp_path / "out" / "overlays").iterdir()) == ["deep", "palette", "small"]
    assert [file.name for file in (tmp_path / "out").iterdir() if file.is_file()] == ["predictions.json"]


def test_a_rotated_photo_is_cut_in_the_frame_of_its_boxes(trained: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient(40, 20).save(tmp_path / "turned.jpg", exif=exif)
    boxes = tmp_path / "boxes.json"
    entry = {"id": 1, "file_name": "turned.jpg", "width": 20, "height": 40}
    people = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 40]}]
    content = {"images": [entry], "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    boxes.write_text(json.dumps(content))
    config = cast(PersonConfig, small_config())
    sizes: list[tuple[int, int]] = []
    for given in (GivenBoxes(boxes), GivenBoxes(for_all=((0.0, 0.0, 20.0, 20.0),))):
        out = tmp_path / f"out{len(sizes)}"
        predictor = PersonPredictor(config, PredictRequest(trained, (tmp_path / "turned.jpg",), given, out))
        sizes.append(predictor.read(0).content.image.size)
        predictor.cancel()
    assert sizes == [(20, 40), (40, 20)]


def test_an_output_with_files_is_kept_unless_it_is_forced(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (trained, data / "images" / "101.png", "--box", "5,5,25,40", "--output", tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predictions.json").write_text("mine")
    code, _, err = predicted(capsys, *words)
    assert code == 2 and "is not empty: give another --output, or --force" in err
    assert (tmp_path / "out" / "predictions.json").read_text() == "mine"
    assert predicted(capsys, *words, "--force")[0] == 0
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 1


def test_an_output_among_the_images_is_refused(trained: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (trained, data / "images", "--box", "5,5,25,40", "--output", data / "images" / "out")
    code, _, err = predicted(capsys, *words)
    assert code == 2 and "whose images its pictures would become" in err and not (data / "images" / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "this network refines given boxes: add --boxes FILE"),
        (("--box", "1,2,3"), "'1,2,3' is no box: write x,y,w,h in pixels"),
        (("--box", "1,2,nan,4"), "is no box"),
        (("--box", "1,2,0,4"), "has no area"),
        (("--box", "1,2,3,4", "--threshold", "1.5"), "'1.5' is no probability between 0 and 1"),
        (("--boxes", "none.csv"), "none.csv cannot be read: No such file or directory"),
    ],
)
def test_a_mistake_gives_one_sentence(
    trained: Path, data: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code, _, err = predicted(capsys, trained, data / "images", *words)
    except SystemExit as ended:
        code, err = cast(int, ended.code), capsys.readouterr().err
    assert code == 2 and message in err and len(err.splitlines()) == 1


def test_a_task_that_cannot_predict_says_so(
    trained: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = open_trained(trained, device="cpu")
    other = replace(opened, task=cast(Task, SimpleNamespace(spec=replace(SPEC, name="words"))))
    monkeypatch.setattr(predict, "open_trained", lambda *_, **__: other)
    code, _, err = predicted(capsys, trained, data / "images", "--box", "1,2,3,4")
    assert code == 2 and "the task 'words' has no `predictor`" in err


def test_a_directory_of_results_is_not_used_twice(tmp_path: Path) -> None:
    assert free_output(tmp_path).name == "predictions"
    (tmp_path / "predictions").mkdir()
    assert free_output(tmp_path).name == "predictions-2"


class Terminal(io.StringIO):
    """A terminal that keeps its output."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("words", "environment", "num_drawn"),
    [
        ((), {}, MOST_PICTURES),
        (("--no-picture",), {}, 0),
        (("--json",), {}, 0),
        ((), {"NO_COLOR": "1"}, 0),
        ((), {"TERM": "dumb"}, 0),
    ],
)
def test_the_first_pictures_are_drawn_on_a_terminal_with_colours(
    words: tuple[str, ...],
    environment: dict[str, str],
    num_drawn: int,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    drawn: list[Path] = []
    monkeypatch.setattr(terminal_picture, "draw_picture", lambda file, title: drawn.append(file))
    monkeypatch.setattr(sys, "stdout", Terminal())

    def predict_six(request: PredictRequest, on_image: OnImage) -> PredictReport:
        for number in range(1, 7):
            on_image(ImageResult(f"{number}.png", 1, Path(f"{number}.png")), number, 6)
        return PredictReport(request.source, 2, "trained", "cpu", 6, 6, 1.0, 0.5, request.output, request.output)

    arguments = parse_arguments(["predict", str(trained), "x.png", "--box", "1,2,3,4", *words])
    assert run_predict(arguments, predict_six) == 0
    assert drawn == [Path(f"{number}.png") for number in range(1, num_drawn + 1)]


def test_a_picture_is_drawn_in_half_blocks_with_the_colours_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    pixels[:20, :, 0] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for name, value in {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "30", "LINES": "40"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    draw_picture(tmp_path / "a.png", "a.png: 1 mask")
    title, *rows = terminal.getvalue().splitlines()
    assert title == "a.png: 1 mask" and len(rows) == 10 and all(row.count("\u2580") == 30 for row in rows)
    assert "38;2;255;0;0" in rows[0] and "38;2;0;0;0" in rows[-1]


@pytest.mark.parametrize(
    ("size", "columns", "lines", "expected"),
    [((640, 480), 80, 50, (80, 30)), ((480, 640), 80, 24, (30, 20)), ((4000, 10), 200, 50, (100, 1))],
)
def test_a_picture_fits_in_the_terminal(
    size: tuple[int, int], columns: int, lines: int, expected: tuple[int, int]
) -> None:
    assert cells(size, columns, lines) == expected

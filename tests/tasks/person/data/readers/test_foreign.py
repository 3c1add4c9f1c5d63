"""Formats of other tools that are not read are recognised, with the way to convert them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.tasks.person.data.readers.foreign import describe_foreign
from engine.tasks.person.data.readers.index import index_dataset
from tests.tasks.person.data.builders import gradient


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "a.json",
            json.dumps({"shapes": [], "imagePath": "a.jpg", "imageData": None}),
            "a.json is an annotation of",
        ),
        ("ann/a.jpg.json", json.dumps({"objects": [], "size": {}}), "ann/a.jpg.json is an annotation of Supervisely"),
        ("result.json", json.dumps([{"id": 1, "data": {"image": "a.jpg"}}]), "Label Studio in its own JSON"),
        ("via.json", json.dumps({"_via_img_metadata": {}}), "a project of VIA"),
        ("v7.json", json.dumps({"item": {}, "annotations": []}), "Darwin"),
        ("annotations.xml", "<?xml?><annotations><image/></annotations>", "an export of CVAT in its own XML"),
        (
            "Annotations/a.xml",
            "<annotation><object/></annotation>",
            "Pascal VOC, which has boxes only",
        ),
        ("labels/a.txt", "0 0.5 0.5 0.2 0.4\n", "a label of YOLO with boxes only"),
        ("labels/a.txt", "0 0.1 0.1 0.4 0.1 0.4 0.8\n", "a label of YOLO segmentation"),
        ("notes.txt", "Taken in May.\n", "it holds images, but no annotation file"),
        ("broken.json", "{", "it holds images, but no annotation file"),
    ],
)
def test_the_format_and_the_way_to_convert_it_are_said(tmp_path: Path, name: str, content: str, says: str) -> None:
    gradient(60, 50).save(tmp_path / "picture.png")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as caught:
        index_dataset(tmp_path)
    assert "has an unknown layout (" in str(caught.value) and says in str(caught.value)


def test_a_directory_without_files_or_with_others_alone(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert describe_foreign(tmp_path) == "it holds no file"
    (tmp_path / "README.md").write_text("about")
    assert describe_foreign(tmp_path) == ""

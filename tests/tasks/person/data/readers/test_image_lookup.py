"""Image files are found under the names that annotations give them, in whatever spelling."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from engine.task import UnusableSample
from engine.tasks.person.data.readers.image_lookup import ImageFinder
from engine.tasks.person.data.readers.spellings import base_name


def finder(root: Path, *files: str) -> ImageFinder:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"picture")
    return ImageFinder(root, [root / "train", root / "images", root])


@pytest.mark.parametrize(
    "name",
    [
        "img0.jpg",
        "./img0.jpg",
        "images/img0.jpg",
        "images\\img0.jpg",
        ".\\images\\img0.jpg",
        "C:\\Users\\me\\data\\images\\img0.jpg",
        "\\\\server\\share\\img0.jpg",
        "/" + "srv/data/images/img0.jpg",
        "../../label-studio/data/media/upload/4/img0.jpg",
        "/data/local-files/?d=project/images/img0.jpg",
        "1a2b3c4d-img0.jpg",
        "http://images.cocodataset.org/train2017/img0.jpg",
        "https://host/bucket/img0.jpg?X-Amz-Signature=abc&x=1",
        "s3://bucket/images/img0.jpg",
        "file:///srv/images/img0.jpg",
        "IMG0.JPG",
        "Images/Img0.jpg",
        "img0",
        " img0.jpg",
        "images//img0.jpg",
    ],
)
def test_a_name_as_tools_write_it_is_found(tmp_path: Path, name: str) -> None:
    assert finder(tmp_path, "images/img0.jpg", "images/img1.jpg").find(name) == tmp_path / "images/img0.jpg"


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("named", ["NFC", "NFD"])
def test_accents_may_be_composed_in_either_way(tmp_path: Path, on_disk: str, named: str) -> None:
    file = unicodedata.normalize(on_disk, "M\u00fcller \u00e9t\u00e9.jpg")  # type: ignore[arg-type]
    name = unicodedata.normalize(named, "M\u00fcller \u00e9t\u00e9.jpg")  # type: ignore[arg-type]
    assert finder(tmp_path, f"images/{file}").find(name).name == file


def test_escapes_of_addresses_are_resolved_unless_the_file_is_called_so(tmp_path: Path) -> None:
    assert finder(tmp_path, "images/a b.jpg").find("a%20b.jpg").name == "a b.jpg"
    assert finder(tmp_path, "images/a%20b.jpg").find("a%20b.jpg").name == "a%20b.jpg"


@pytest.mark.parametrize("file", ["1a2b3c4d-my_img0.jpg", "my%20img0.jpg", "My_Img0.jpg", "1a2b3c4d-my%20img0.jpg"])
def test_the_file_may_have_the_escapes_and_the_upload_hash(tmp_path: Path, file: str) -> None:
    look = finder(tmp_path, f"images/{file}", "images/my_img00.jpg")
    assert look.find("images/my img0.jpg") == tmp_path / "images" / file


def test_uploads_of_the_same_name_are_ambiguous(tmp_path: Path) -> None:
    with pytest.raises(UnusableSample, match=r"the image file is ambiguous, there are 2"):
        finder(tmp_path, "images/1a2b3c4d-img0.jpg", "images/5a6b7c8d-img0.jpg").find("img0.jpg")


def test_the_folder_that_the_name_speaks_of_is_meant(tmp_path: Path) -> None:
    look = finder(tmp_path, "day/0001.jpg", "night/0001.jpg")
    assert look.find("other/machine/night/0001.jpg") == tmp_path / "night/0001.jpg"


def test_of_equal_names_that_in_a_known_folder_is_meant(tmp_path: Path) -> None:
    look = finder(tmp_path, "train/0001.jpg", "elsewhere/0001.jpg")
    assert look.find("C:\\x\\0001.jpg") == tmp_path / "train/0001.jpg"


def test_two_files_that_could_be_meant_are_named_and_neither_is_taken(tmp_path: Path) -> None:
    with pytest.raises(UnusableSample, match=r"the image file is ambiguous, there are 2: day.*, night"):
        finder(tmp_path, "day/0001.jpg", "night/0001.jpg").find("0001.jpg")


@pytest.mark.parametrize("file", ["images/._img0.jpg", "__MACOSX/img0.jpg", "masks/img0.jpg", ".cache/img0.jpg"])
def test_resource_forks_and_masks_are_no_images(tmp_path: Path, file: str) -> None:
    with pytest.raises(UnusableSample, match="is missing"):
        finder(tmp_path, file).find("img0.jpg")


def test_a_missing_image_says_where_it_was_looked_for(tmp_path: Path) -> None:
    look = finder(tmp_path, "images/a.jpg")
    with pytest.raises(UnusableSample, match=r"missing \(looked for in images/ and all folders of the data\)"):
        look.find("b.jpg")


@pytest.mark.parametrize(
    "name", ["", "/", "..", "\0", "a\0.jpg", "\ud800.jpg", "x" * 5000, "http://[", "?d=", "//", "%"]
)
def test_names_that_are_none_are_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnusableSample, match="is missing"):
        finder(tmp_path, "images/a.jpg").find(name)


def test_the_folder_that_holds_most_images_comes_first(tmp_path: Path) -> None:
    look = finder(tmp_path, "train/a.jpg", "images/a.jpg", "images/b.jpg", "images/c.jpg")
    look.prefer(["a.jpg", "b.jpg", "c.jpg"])
    assert look.find("a.jpg") == tmp_path / "images/a.jpg"


@pytest.mark.parametrize("name", ["a.jpg", "x\\a.jpg", "https://host/x/a.jpg?y=1", "/srv/a.jpg", "/l/?d=x%5Ca.jpg"])
def test_the_name_of_a_file_is_that_of_any_system(name: str) -> None:
    assert base_name(name) == "a.jpg"


@pytest.mark.parametrize(("name", "file"), [("a.jpeg", "a.jpg"), ("a.JPG", "a.jpeg"), ("a.tif", "a.TIFF")])
def test_two_suffixes_of_one_format_are_equal(tmp_path: Path, name: str, file: str) -> None:
    assert finder(tmp_path, f"images/{file}").find(name) == tmp_path / "images" / file


def test_the_same_name_in_another_format_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnusableSample, match=r"is missing \(looked for.*; there is images/a\.png, in another format"):
        finder(tmp_path, "images/a.png").find("images/a.jpg")

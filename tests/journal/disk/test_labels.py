"""Notes and tags of runs: written whole, read whatever is there, refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.disk.labels import (
    LABELS_FILE,
    Labels,
    change_tags,
    read_labels,
    set_note,
    set_tags,
    write_labels,
)
from engine.journal.disk.new_run import create_run


def test_note_and_tags_are_kept_side_by_side(tmp_path: Path) -> None:
    set_note(tmp_path, "  the first\n that converged ")
    assert change_tags(tmp_path, ["+base", "best", "base"]) == ("base", "best")
    assert change_tags(tmp_path, ["-base", "+größe"]) == ("best", "größe")
    assert read_labels(tmp_path) == Labels("the first that converged", ("best", "größe"))
    set_tags(tmp_path, ["one", "one", "two"])
    assert read_labels(tmp_path).tags == ("one", "two")
    assert [path.name for path in tmp_path.iterdir()] == [LABELS_FILE]


def test_the_last_label_that_goes_takes_the_file_with_it(tmp_path: Path) -> None:
    set_note(tmp_path, "x")
    set_note(tmp_path, "")
    assert list(tmp_path.iterdir()) == []
    set_note(tmp_path, "")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'{"note": 3, "tags": "x"}', b"\xff\xfe", b"[" * 60_000, b'{"note": ["a"]}']
)
def test_an_unreadable_file_counts_as_no_labels(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LABELS_FILE).write_bytes(content)
    assert read_labels(tmp_path) == Labels()
    set_note(tmp_path, "again")
    assert read_labels(tmp_path).note == "again"


@pytest.mark.parametrize("word", ["", "+", "a b", "a,b", "-", "++x", "x" * 41, "a\x1b[31m"])
def test_a_word_that_cannot_be_a_tag_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(UserError, match="cannot be a tag"):
        change_tags(tmp_path, [word])
    assert list(tmp_path.iterdir()) == []


def test_a_tag_that_is_not_there_cannot_be_removed(tmp_path: Path) -> None:
    set_tags(tmp_path, ["base"])
    with pytest.raises(UserError, match="has no tag 'bose': it has base"):
        change_tags(tmp_path, ["+new", "-bose"])
    assert read_labels(tmp_path).tags == ("base",)


@pytest.mark.parametrize("text", ["x" * 501, "a\x1bb"])
def test_a_note_that_no_screen_could_show_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="a note has"):
        set_note(tmp_path, text)


def test_labels_are_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine", encoding="utf-8")
    run = tmp_path / "run"
    run.mkdir()
    (run / LABELS_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link"):
        write_labels(run, Labels("x"))
    assert (tmp_path / "elsewhere").read_text(encoding="utf-8") == "mine"


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write the labels of the run .*gone: No such file"):
        set_note(tmp_path / "gone", "x")


def test_a_label_does_not_make_an_unbegun_run_look_like_work(tmp_path: Path) -> None:
    path = create_run(tmp_path, "first")
    set_note(path, "tried once")
    assert create_run(tmp_path, "first") == path
    assert read_labels(path).note == "tried once"

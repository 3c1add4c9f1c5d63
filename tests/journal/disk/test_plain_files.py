"""Checks of a run's directory before something is written into it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.disk.plain_files import check_plain_directory, check_plain_file


def _link(path: Path) -> None:
    (path.parent / "elsewhere").touch()
    path.symlink_to(path.parent / "elsewhere")


def _dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def _socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(path))


def _hard_link(path: Path) -> None:
    path.touch()
    os.link(path, path.with_name("second name"))


NO_FILES: list[tuple[Callable[[Path], object], str]] = [
    (_link, "is a link, but a run needs a file of its own"),
    (_dangling, "is a link, but a run needs"),
    (os.mkfifo, "is a named pipe, but a run needs"),
    (Path.mkdir, "is a directory, but a run needs a file"),
    (_socket, "is a socket, but a run needs"),
    (_hard_link, "one file with 2 names"),
]


@pytest.mark.parametrize(("make", "said"), NO_FILES)
def test_what_is_no_plain_file_is_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], said: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    make(Path("run.lock"))
    with pytest.raises(UserError, match=said):
        check_plain_file(Path("run.lock"))


def test_a_device_is_no_plain_file() -> None:
    with pytest.raises(UserError, match="neither a file nor a directory"):
        check_plain_file(Path("/dev/null"))


def test_a_plain_file_or_none_is_let_pass(tmp_path: Path) -> None:
    check_plain_file(tmp_path / "absent")
    (tmp_path / "there").touch()
    check_plain_file(tmp_path / "there")


@pytest.mark.parametrize(("make", "said"), [pair for pair in NO_FILES if pair[0] is not _hard_link])
def test_a_directory_with_anything_but_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("held").mkdir()
    make(Path("held/one"))
    with pytest.raises(UserError, match=said):
        check_plain_directory(Path("held"))


def test_directories_are_let_pass_as_deep_as_asked(tmp_path: Path) -> None:
    (tmp_path / "held" / "inner" / "deep").mkdir(parents=True)
    check_plain_directory(tmp_path / "held", depth=2)
    with pytest.raises(UserError, match="inner/deep is a directory, but a run needs"):
        check_plain_directory(tmp_path / "held", depth=1)


def test_a_file_or_a_link_in_a_directorys_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name, kind in (("file", "a file"), ("link", "a link")):
        with pytest.raises(UserError, match=f"is {kind}, but a run needs a directory of its own"):
            check_plain_directory(tmp_path / name)

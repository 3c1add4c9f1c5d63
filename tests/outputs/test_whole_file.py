"""A file that an option names: only a regular one is replaced, and a link leads to the one that is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.outputs.inference.whole_file import check_target, write_whole


def test_a_device_a_pipe_and_a_directory_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in (tmp_path / "pipe", tmp_path / "link", Path("/dev/full")):
        with pytest.raises(UserError, match=rf"--csv {name} is a device or a pipe, which would be replaced"):
            check_target(name, "--csv")
    with pytest.raises(UserError, match="is a directory: give a file"):
        check_target(tmp_path, "--csv")
    with pytest.raises(UserError, match=r"there is no directory .*nowhere; choose another file"):
        check_target(tmp_path / "nowhere" / "file", "--csv")
    check_target(tmp_path / "new", "--csv")


def test_the_file_that_a_link_leads_to_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for content in (b"first", b"second"):
        write_whole(tmp_path / "link", content)
        assert (tmp_path / "file").read_bytes() == content and (tmp_path / "link").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2

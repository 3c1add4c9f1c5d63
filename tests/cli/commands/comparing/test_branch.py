"""`branch RUN --from ...`: which checkpoint is taken, and what is said if there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockpit.cli.arguments import parse_arguments
from cockpit.cli.commands.comparing.branch import announcement, branch_point
from cockpit.cli.options import BranchPoint
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from tests.recorded_run import record_run


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A run with checkpoints at 100, 200 and 300, an alias of the second, and one that a rollback set aside."""
    run_dir = record_run(tmp_path / "runs" / "base", steps=20)
    folder = run_dir / CHECKPOINTS
    (folder / "superseded").mkdir(parents=True)
    files = {"step-00000100.pt": "a", "step-00000200.pt": "b", "best.pt": "b", "step-00000300.pt": "c", "old.pt": "z"}
    for name, digest in {**files, "superseded/step-00000400.pt": "d"}.items():
        (folder / name).write_bytes(digest.encode())
        (folder / f"{name}.sha256").write_text(f"{digest}  {name}\n")
    return run_dir


def point_of(base: Path, *words: str) -> BranchPoint:
    return branch_point(parse_arguments(["branch", "base", "--runs-dir", str(base.parent), *words]))


@pytest.mark.parametrize(
    ("origin", "step", "checkpoint", "said"),
    [
        ("", 300, "step-00000300.pt", "branching base from step 300, its newest checkpoint"),
        ("200", 200, "step-00000200.pt", "branching base from step 200"),
        ("250", 200, "step-00000200.pt", "branching base from step 200, the newest checkpoint at or before 250"),
        ("best.pt", 200, "step-00000200.pt", "branching base from step 200"),
        ("step-00000100.pt", 100, "step-00000100.pt", "branching base from step 100"),
        ("superseded/step-00000400.pt", 400, "superseded/step-00000400.pt", "branching base from step 400"),
    ],
)
def test_a_step_or_a_file_names_the_checkpoint(base: Path, origin: str, step: int, checkpoint: str, said: str) -> None:
    point = point_of(base, *(("--from", origin) if origin else ()))
    assert point == BranchPoint(base, step, checkpoint)
    assert announcement(point, origin) == said


def test_a_hard_link_is_the_step_that_it_links_though_its_checksum_is_the_former_one(base: Path) -> None:
    """So a kill leaves the best checkpoint between its two renames."""
    alias = base / CHECKPOINTS / "best.pt"
    alias.unlink()
    alias.hardlink_to(base / CHECKPOINTS / "step-00000300.pt")
    assert point_of(base, "--from", "best.pt").step == 300


def test_a_path_may_be_given_from_anywhere(base: Path) -> None:
    assert point_of(base, "--from", str(base / CHECKPOINTS / "best.pt")).step == 200


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("99", "no checkpoint at or before step 99: there are 100, 200, 300"),
        ("bst.pt", "no checkpoint 'bst.pt': did you mean 'best.pt'"),
        ("old.pt", "old.pt equals no step of the run 'base': name one, such as --from 300"),
        ("run.sqlite", "no checkpoint 'run.sqlite'"),
        ("-5", "no checkpoint '-5'"),
    ],
)
def test_what_cannot_be_taken_is_one_sentence(
    base: Path, capsys: pytest.CaptureFixture[str], origin: str, said: str
) -> None:
    with pytest.raises((UserError, SystemExit)) as raised:
        point_of(base, "--from", origin)
    assert said in f"{raised.value}{capsys.readouterr().err}"


def test_a_file_of_another_place_is_no_checkpoint_of_the_run(base: Path, tmp_path: Path) -> None:
    (tmp_path / "other.pt").touch()
    with pytest.raises(UserError, match="is no checkpoint of the run 'base': --init-from starts with its weights"):
        point_of(base, "--from", str(tmp_path / "other.pt"))


def test_a_run_without_checkpoints_and_a_run_of_a_program_are_refused(tmp_path: Path) -> None:
    run_dir = record_run(tmp_path / "runs" / "base", steps=20)
    with pytest.raises(UserError, match="the run 'base' has no checkpoint to branch from"):
        point_of(run_dir)

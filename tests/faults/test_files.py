"""Files that are damaged, foreign or hostile: one clear sentence, nothing executed, nothing lost."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.errors import UserError
from engine.journal.disk.new_run import create_run
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol import events as e
from engine.runtime.loop import Loop
from engine.training.checkpoint.checksum import checksum_path
from engine.training.checkpoint.file import list_checkpoints
from main import main
from tests.faulty import entries, run, same_weights, series
from tests.small import small_config
from tests.tasks.person.data.builders import write_coco

SHORT, LONG = ({"epochs": 40, "max_steps": steps} for steps in (6, 9))
EVERY_THREE = {"every_steps": 3, "keep_last": 10}


class _Bomb:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return Path("exploded").write_text, ("boom",)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 8
    path.write_bytes(bytes(data))


def _replace_by_a_foreign_one(path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.ones(2)}}, path)
    _sign(path)


def _replace_by_a_bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Bomb()))
    _sign(path)


def _replace_by_a_zipped_bomb(path: Path) -> None:
    torch.save({"format": 1, "model": _Bomb()}, path)
    _sign(path)


def _sign(path: Path) -> None:
    """A checksum that fits: what is inside must be refused for what it is."""
    checksum_path(path).write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: 'begun' did 6 steps and can go on to 9, which 'whole' did in one go."""
    home = tmp_path_factory.mktemp("files")
    assert run(home / "begun", small_config(training=SHORT, checkpoint=EVERY_THREE)) == 0
    assert run(home / "whole", small_config(training=LONG, checkpoint=EVERY_THREE)) == 0
    return home


@pytest.mark.parametrize(
    "damage",
    [_truncate, _flip_a_bit, _replace_by_a_foreign_one, _replace_by_a_bomb, _replace_by_a_zipped_bomb],
)
def test_a_resume_passes_over_a_bad_checkpoint_and_ends_the_same(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(begun / "begun", tmp_path / "begun")
    newest = list_checkpoints(tmp_path / "begun" / CHECKPOINTS)[-1]
    damage(newest)
    assert run(tmp_path / "begun", small_config(training=LONG, checkpoint=EVERY_THREE), resume=True) == 0
    (passed_over,) = entries(tmp_path / "begun", e.CheckpointDamaged)
    assert newest.name in repr(passed_over.event)
    assert not (tmp_path / "exploded").exists()
    assert same_weights(tmp_path / "begun", begun / "whole")
    assert series(tmp_path / "begun", "loss/total") == series(begun / "whole", "loss/total")


@pytest.mark.parametrize("damage", [_truncate, _replace_by_a_foreign_one, _replace_by_a_bomb])
def test_a_run_is_not_begun_from_a_bad_checkpoint(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = Path(shutil.copy(begun / "whole" / CHECKPOINTS / "best.pt", tmp_path / "weights.pt"))
    damage(weights)
    with pytest.raises(UserError, match=r"weights\.pt"):
        run(tmp_path / "fresh", small_config(), init_from=str(weights))
    assert not (tmp_path / "exploded").exists()


HOSTILE = [
    "training: !!python/object/apply:os.system ['touch exploded']\n",
    "training: !!python/name:os.system\n",
    "training: &a [*a]\n",
    "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: [*b, *b, *b, *b, *b, *b, *b]\n",
    "training:\n  epochs: \x00\n",
    "training: {epochs: 1, epochs: 2}\n",
    "? [training]\n: 1\n",
    "[" * 1500,
    "training:\n  learning_rate: 1e999\n",
    "data:\n  path: |\n    one\n    two\n",
    "\x1b[31mtraining\x1b[0m: 1\n",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_yaml_gets_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hostile.yaml").write_text(text)
    assert main(["--no-ui", "--config", "hostile.yaml"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and "Traceback" not in said
    assert "\x1b" not in said
    assert not (tmp_path / "exploded").exists()
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "../up", "a/b", ".hidden", "-dash", "latest", "x" * 300])
def test_a_run_cannot_bear_a_name_that_moves_the_cursor_or_leaves_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be a run's name"):
        create_run(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_markup_in_a_run_s_name_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(create_run(tmp_path / "runs", "[red]bold[red]"), small_config(training={"max_steps": 1})) == 0
    assert main(["status", "latest"]) == 0
    assert "[red]bold[red]" in capsys.readouterr().out


@pytest.mark.slow
def test_a_data_worker_that_is_killed_changes_no_bit_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, killed = Loop.turn, list[int]()

    def turn_with_a_murder(loop: Loop) -> str:
        if loop._recorder.state.step == 4 and not killed:
            killed.extend(loop._train_state.stream.worker_ids)
            for process in killed:
                os.kill(process, signal.SIGKILL)
        return turn(loop)

    steps = {"epochs": 40, "max_steps": 10}
    assert run(tmp_path / "alone", small_config(training=steps)) == 0
    monkeypatch.setattr(Loop, "turn", turn_with_a_murder)
    scenes = {"num_train_scenes": 6, "num_val_scenes": 2, "image_size": 64, "max_people": 3}
    config = small_config(training=steps, data={"synthetic": scenes, "num_workers": 1})
    assert run(tmp_path / "helped", config) == 0
    assert len(killed) == 1
    assert same_weights(tmp_path / "alone", tmp_path / "helped")


def test_an_image_that_goes_bad_in_the_middle_of_a_run_costs_its_samples(tmp_path: Path) -> None:
    people = write_coco(tmp_path / "people", num_train=4)
    (people / "images" / "2.png").write_bytes((people / "images" / "2.png").read_bytes()[:200])
    config = small_config(training={"epochs": 3, "batch_size": 2}, data={"path": str(people)})
    assert run(tmp_path / "run", config) == 0
    rejected = {entry.event.file for entry in entries(tmp_path / "run", e.SampleRejected)}  # type: ignore[union-attr]
    assert [Path(name).name for name in rejected] == ["2.png"]
    assert len(series(tmp_path / "run", "loss/total")) == 12

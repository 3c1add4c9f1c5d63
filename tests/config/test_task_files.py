"""A task that a configuration or an option names by its file: the search for the file, and its error messages."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

import main
from cockpit.cli.arguments import parse_arguments
from cockpit.cli.commands.configs import run_configs
from cockpit.cli.options import overrides, train_options
from engine.config.files.yaml_text import dump_config
from engine.config.keys import config_keys
from engine.config.load import load_config, load_for_resume, read_resolved, resolve_config
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS, CONFIG_FILE
from engine.training.checkpoint.file import list_checkpoints
from tests.conftest import ROOT

RIGHT = ROOT / "tests/tasks/odd_tasks.py"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a task, a configuration that names it by a relative path, and one that extends that."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/file_of_task.py").write_text(RIGHT.read_text())
    (tmp_path / "own.yaml").write_text("# mine\ntask: tasks/file_of_task.py:Right\ntraining:\n  batch_size: 4\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more/longer.yaml").write_text("extends: ../own.yaml\ntraining:\n  epochs: 3\n")
    return tmp_path


def task_of(home: Path, name: str = "file_of_task.py:Right") -> str:
    return f"{home / 'tasks'}/{name}"


@pytest.mark.parametrize("name", ["own.yaml", "more/longer.yaml"])
def test_the_file_is_relative_to_the_config_that_names_it(
    home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(str(home / name))
    assert config.task == task_of(home) and config.training.batch_size == 4
    monkeypatch.chdir(home / "more")
    assert load_config(str(home / name)) == config
    (home / "more/resolved.yaml").write_text(dump_config(config))
    assert read_resolved(home / "more/resolved.yaml") == config


@pytest.mark.parametrize("words", [["--task", "file_of_task.py:Right"], ["--set", "task=file_of_task.py:Right"]])
def test_the_file_of_an_option_is_relative_to_the_working_directory(
    home: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home / "tasks")
    options = train_options(parse_arguments(words))
    assert options.task == "file_of_task.py:Right"
    assert load_config("", overrides(options)).task == task_of(home)


def test_an_option_names_another_task_than_the_config(home: Path) -> None:
    config = load_config(str(home / "own.yaml"), (f"task={RIGHT}:OtherOrder",))
    assert config.task == f"{RIGHT}:OtherOrder" and config.training.batch_size == 4
    with pytest.raises(UserError, match=r"there is no key 'model.roi_size'"):
        load_config("tiny", (f"task={RIGHT}:Right",))


def test_a_run_resumed_with_another_config_keeps_its_task(home: Path) -> None:
    former = home / "resolved.yaml"
    former.write_text(dump_config(load_config(str(home / "own.yaml"))))
    (home / "other.yaml").write_text("training:\n  epochs: 9\n")
    assert load_for_resume(str(home / "other.yaml"), (), former).task == task_of(home)
    named = (f"task={RIGHT}:OtherOrder",)
    assert load_for_resume(str(home / "other.yaml"), named, former).task == f"{RIGHT}:OtherOrder"


def test_a_run_goes_on_from_another_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    few = ["--no-ui", "--quiet", "--device=cpu", "--set=tensorboard.enabled=false"]
    assert main.main([*few, "--config=own.yaml", "--task=tasks/file_of_task.py:Right", "--epochs=2", "--run=r"]) == 0
    monkeypatch.chdir(home / "more")
    assert main.main([*few, "--runs-dir=../runs", "--resume=r", "--epochs=3"]) == 0
    assert list_checkpoints(home / "runs/r" / CHECKPOINTS)[-1].name == "step-00000006.pt"
    assert read_resolved(home / "runs/r" / CONFIG_FILE).task == task_of(home)
    (home / "tasks/file_of_task.py").rename(home / "tasks/moved_task.py")
    assert main.main(["status", "r", "--runs-dir=../runs"]) == 0
    assert "closeness" in capsys.readouterr().out


def test_a_config_with_a_task_can_be_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_configs(Namespace(show=str(home / "own.yaml"))) == 0
    assert f'task: "{task_of(home)}"  # ' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("raises_when_read.py", "x = 1\nx.y\n", "AttributeError: 'int' object has no attribute 'y' (line 2)"),
        ("no_syntax.py", "def\n", "invalid syntax (no_syntax.py, line 1)"),
        ("no_import.py", "import no_such_module\n", "No module named 'no_such_module' (line 1)"),
        ("json.py", "", "a module of Python or of this program is called 'json' too: rename the file"),
        ("pydantic.py", "", "a module of Python or of this program is called 'pydantic' too: rename the file"),
        ("no_class.py", "Right = 1\n", "no_class.py has no class 'Right'"),
    ],
)
def test_what_is_wrong_with_the_file_is_one_sentence(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        load_config("", (f"task={tmp_path / name}:Right",))
    assert str(caught.value).endswith(sentence) and "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["Right", "file.py", "file.py:", "file.py:not a name", ":Right"])
def test_what_names_no_class_is_said(where: str) -> None:
    with pytest.raises(UserError, match=r"cannot be read; name it as FILE\.py:Class or package\.module:Class"):
        load_config("", (f"task={where}",))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be loaded: .*No such file or directory"):
        load_config("", (f"task={tmp_path}/gone.py:Right",))


def test_two_files_of_one_name_are_two_tasks(tmp_path: Path) -> None:
    for folder, epochs in (("a", 3), ("b", 4)):
        (tmp_path / folder).mkdir()
        config = f"class Own(RunConfig, frozen=True):\n    number: int = {epochs}\n\n\nRight.Config = Own\n"
        (tmp_path / folder / "twice_named.py").write_text(f"{RIGHT.read_text()}\n\n{config}")
    read = [load_config("", (f"task={tmp_path / folder}/twice_named.py:Right",)).model_dump() for folder in "aba"]
    assert [tree["number"] for tree in read] == [3, 4, 3]


OWN_DEFAULTS = """

class OwnConfig(RunConfig, frozen=True):
    training: TrainingConfig = TrainingConfig(batch_size=32, learning_rate=5e-3)


class Own(Right):
    Config = OwnConfig
"""


def test_the_defaults_of_a_task_hold_where_a_neighbouring_key_is_set(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    imports = "from engine.config.tree import RunConfig, TrainingConfig\n"
    file.write_text(f"{RIGHT.read_text()}\n{imports}{OWN_DEFAULTS}")
    resolved = resolve_config("", [f"task={file}:Own", "training.epochs=3"])
    training = resolved.config.training
    assert (training.batch_size, training.learning_rate, training.epochs) == (32, 5e-3, 3)
    keys = config_keys(type(resolved.config))
    assert keys["training.batch_size"].default == 32
    assert resolved.origins["training.batch_size"] == "default"

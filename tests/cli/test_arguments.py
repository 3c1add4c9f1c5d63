"""The command line: every option, and one sentence for every mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cockpit.cli.arguments import build_parser, parse_arguments
from cockpit.cli.options import TrainOptions, overrides, train_options
from cockpit.cli.version import version
from engine.errors import UserError
from engine.protocol.words.command_syntax import COMMAND_WORDS
from tests.recorded import ROOT

NOTHING = TrainOptions(
    config="",
    task="",
    data="",
    epochs=None,
    max_steps=None,
    batch_size=None,
    device="auto",
    seed=None,
    settings=(),
    run="",
    runs_dir=Path("runs"),
    resume="",
    init_from="",
    no_ui=False,
    keep_running=False,
    quiet=False,
    script="",
)


def options(*words: str) -> TrainOptions:
    return train_options(parse_arguments(words))


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that the mistake in `words` is answered with; the exit code must be 2."""
    with pytest.raises(SystemExit) as caught:
        parse_arguments(words)
    printed = capsys.readouterr()
    assert caught.value.code == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def test_no_words_train_with_nothing_set() -> None:
    assert parse_arguments([]).command is None
    assert options() == NOTHING
    assert overrides(NOTHING) == ()


def test_every_training_option_arrives() -> None:
    words = (
        "--config tiny --task t.py:T --data d --epochs 3 --max-steps 40 --batch-size 8 --device cpu --seed 7"
        " --set a.b=1 --set c=x=y --run mine --runs-dir elsewhere --init-from c.pt --no-ui"
        " --keep-running --autopilot --quiet --script plan.txt"
    )
    assert options(*words.split()) == TrainOptions(
        config="tiny",
        task="t.py:T",
        data="d",
        epochs=3,
        max_steps=40,
        batch_size=8,
        device="cpu",
        seed=7,
        settings=("a.b=1", "c=x=y"),
        run="mine",
        runs_dir=Path("elsewhere"),
        resume="",
        init_from="c.pt",
        no_ui=True,
        keep_running=True,
        quiet=True,
        script="plan.txt",
        autopilot=True,
    )


def test_the_seeds_own_command_is_accepted() -> None:
    words = "--no-ui --configs rgb_hierarchical_unet_v2_attention_r64m64_refined_stable --epochs 20 --batch_size 2"
    found = options(*words.split())
    assert found.config == "rgb_hierarchical_unet_v2_attention_r64m64_refined_stable"
    assert (found.epochs, found.batch_size, found.no_ui) == (20, 2, True)


def test_options_become_settings_and_set_has_the_last_word() -> None:
    found = options(
        "--set", "training.epochs=9", "--epochs", "3", "--max-steps", "40", "--batch-size", "8", "--seed", "0"
    )
    assert overrides(found) == (
        "training.epochs=3",
        "training.max_steps=40",
        "training.batch_size=8",
        "training.seed=0",
        "training.epochs=9",
    )


def test_a_relative_data_folder_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert overrides(options("--data", "my people: #1")) == (f"data.path={tmp_path / 'my people: #1'}",)
    assert overrides(options("--data", "/abs")) == ("data.path=/abs",)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("stauts", "there is no command 'stauts': did you mean 'status'?"),
        ("--no-ui stauts", "there is no command 'stauts': did you mean 'status'?"),
        ("data inspct x", "main.py data: there is no action 'inspct': did you mean 'inspect'?"),
        ("--confg tiny", "there is no option --confg: did you mean '--config'?"),
        ("--confg=tiny", "there is no option --confg: did you mean '--config'?"),
        ("--max_steps 3", "did you mean '--max-steps'?"),
        ("status --jsn", "main.py status: there is no option --jsn: did you mean '--json'?"),
        ("status x --jsn", "main.py status: there is no option --jsn: did you mean '--json'?"),
        ("metrics --kyes a", "main.py metrics: there is no option --kyes: did you mean '--keys'?"),
        ("-z", "there is no option -z"),
        ("--device gpu", "--device cannot be 'gpu': there are auto, cpu, cuda, mps"),
        ("--epochs many", "'many' is not a whole number"),
        ("--epochs", "--epochs: expected one argument"),
        ("--set epochs", "'epochs' has no value; write KEY=VALUE, like training.epochs=5"),
        ("--epochs 3 status", "the command 'status' comes first, before its options"),
        ("status a b", "main.py status: 'b' is one word too many"),
        ("metrics --csv --json", "not allowed with argument"),
        ("data", "the following arguments are required: ACTION"),
        ("send", "the following arguments are required: RUN, COMMAND"),
        ("send r pause --timeout soon", "'soon' is not a number"),
        ("wait r --until phase>1 --timeout -3", "'-3' is below 0: give a number of seconds"),
        ("metrics r --follow --json --idle-timeout -1", "'-1' is below 0"),
        ("metrics r --follow --tail -2", "'-2' is below 0"),
    ],
)
def test_a_mistake_gets_one_sentence_with_the_nearest_match(
    capsys: pytest.CaptureFixture[str], words: str, sentence: str
) -> None:
    line = complaint(capsys, *words.split())
    assert sentence in line
    assert line.startswith("main.py")


def test_a_word_that_is_not_near_anything_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(capsys, "qqq")
    assert all(name in line for name in ("configs", "data", "events", "metrics", "plot", "runs", "send", "status"))


def test_options_are_not_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no option --epoch: did you mean '--epochs'?" in complaint(capsys, "--epoch", "3")


def test_readers_take_the_latest_run_unless_told() -> None:
    for name in ("status", "metrics", "events", "plot"):
        assert parse_arguments([name]).run == "latest"
        assert parse_arguments([name, "mine"]).run == "mine"
        assert parse_arguments([name]).runs_dir == Path("runs")
        assert parse_arguments([name, "--runs-dir", "x"]).runs_dir == Path("x")


def test_keys_are_split_and_named_once() -> None:
    assert parse_arguments(["metrics", "--keys", "a, b,,a"]).keys == ("a", "b")
    assert parse_arguments(["plot", "--keys", "a"]).keys == ("a",)


def test_send_takes_its_options_anywhere() -> None:
    before = parse_arguments(["send", "--wait", "r", "lower-lr", "0.5"])
    after = parse_arguments(["send", "r", "lower-lr", "0.5", "--wait"])
    assert before.words == after.words == ["lower-lr", "0.5"]
    assert before.wait and after.wait
    assert parse_arguments(["send", "r", "set-lr", "-1"]).words == ["set-lr", "-1"]
    assert parse_arguments(["send", "r", "note", "--", "--see", "-this"]).words == ["note", "--see", "-this"]


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as caught:
        parse_arguments([*words, "--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_help_shows_every_subcommand_option_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys)
    for word in ("--config", "--batch_size", "--set KEY=VALUE", "--resume", "--script", "status", "send", "data"):
        assert word in text
    assert "main.py --no-ui --resume latest" in text


def test_help_of_send_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, "send")
    assert all(f"\n  {name}" in text for name in COMMAND_WORDS)
    assert "exit codes" in text


@pytest.mark.parametrize("name", ["status", "metrics", "events", "plot", "runs", "configs", "data"])
def test_every_subcommand_has_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert f"usage: main.py {name}" in help_of(capsys, name)


@pytest.mark.parametrize(
    ("started", "server"),
    [
        ("main.py", '"command": "PYTHON", "args": ["main.py", "mcp", '),
        ("bin/training-cockpit", '"command": "training-cockpit", "args": ["mcp", '),
    ],
)
def test_help_of_mcp_starts_the_program_as_this_one_was(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, started: str, server: str
) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    assert server in help_of(capsys, "mcp")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"training-cockpit {version()}\n"
    assert version()


def test_the_words_may_come_from_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["main.py", "runs"])
    assert build_parser().parse_args().command == "runs"


def test_the_command_line_loads_neither_torch_nor_a_screen() -> None:
    source = (
        "import sys; from cockpit.cli import arguments, dispatch, options;"
        "from cockpit.cli.commands import send; from cockpit.cli.commands.reading import status, metrics, events, runs;"
        "arguments.parse_arguments(['status']);"
        "print(sorted({'torch', 'textual', 'scipy', 'yaml', 'pydantic'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_a_resumed_run_has_its_name_already() -> None:
    assert options("--resume", "latest").resume == "latest"
    with pytest.raises(UserError, match=r"--run d has no meaning with --resume c.*branch c --run d"):
        options("--resume", "c", "--run", "d")

"""Words that no person means: every option and command with odd values ends in one sentence, none in a traceback."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from cockpit.cli.arguments import build_parser
from engine.journal.writer import JournalWriter
from engine.protocol.words.command_syntax import COMMAND_WORDS
from main import main
from tests.person_state import person_state

ODD = (
    "", " ", "x" * 300, "x" * 5000, "\u4eba" * 200, "a/b", "../..", "/", "~nobody-of-that-name/x.yaml", "a\nb",
    "\x1b[2J", "\udcff", "9" * 400, "9" * 5000, "-" + "9" * 400, "1e400", "nan", "-inf", "0x10", "\u0661", "null",
    "{a: 1}", "[" * 1200, "%s{0}",
)  # fmt: skip

READERS = (
    "status ?", "events ?", "events live --kind ?", "events live --tail ?", "metrics ?", "metrics live --around ?",
    "metrics live --around 3 --window ?", "metrics live --keys ?", "plot ?", "plot live --keys ?", "runs --runs-dir ?",
    "status live --runs-dir ?", "diagnose ?", "diagnose live --step ?", "redrive ?", "configs --show ?",
    "diagnose live --ablate --steps ? --checkpoint none", "data inspect ?", "?", "? live",
)  # fmt: skip

TRAINERS = (
    "--config ?", "--resume ?", "--config none --script ?", "--config none --run ?", "--config none --epochs ?",
    "--config none --seed ?", "--config none --device ?", "--set ?", "--set training.epochs=?",
    "--set training.learning_rate=? --set training.epochs=0", "--set model.extractor_widths=?", "--set loss=?",
    "--set ?=1", "--data ?",
)  # fmt: skip


PARSER = build_parser()


@pytest.fixture
def home(runs_dir: Path, live: JournalWriter, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a run that is alive. The parser is built once: it takes longer than most words."""
    monkeypatch.setattr("cockpit.cli.arguments.build_parser", lambda _: PARSER)
    live.record_state(person_state("live", total_steps=10, lr=1e-3))
    live.record_step(3, 0.1, ("loss/total",), [1.0])
    live.flush()
    monkeypatch.chdir(runs_dir.parent)
    return runs_dir.parent


def _filled(words: str, odd: str) -> list[str]:
    return [word.replace("?", odd) for word in words.split()]


def _try(words: Sequence[str], capfd: pytest.CaptureFixture[str]) -> None:
    """The words end with an exit code, and if that is 2, with one sentence."""
    try:
        code = main(words)
    except SystemExit as left:
        code = left.code
    said = capfd.readouterr().err
    assert code in (0, 1, 2), words
    assert "Traceback" not in said, (words, said)
    assert code != 2 or len(said.splitlines()) == 1, (words, said)


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_words_for_a_reader_end_in_a_sentence(home: Path, odd: str, capfd: pytest.CaptureFixture[str]) -> None:
    for words in READERS:
        _try(_filled(words, odd), capfd)


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_words_for_a_command_end_in_a_sentence(home: Path, odd: str, capfd: pytest.CaptureFixture[str]) -> None:
    for command in COMMAND_WORDS:
        for rest in ([odd], ["dice", odd], [odd, "1"]):
            _try(["send", "live", "--dry-run", "--", command, *rest], capfd)
    _try(["send", "live", "--dry-run", "--timeout", odd, "pause"], capfd)
    _try(["send", odd, "pause"], capfd)


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_words_for_a_training_end_in_a_sentence(home: Path, odd: str, capfd: pytest.CaptureFixture[str]) -> None:
    for words in TRAINERS:
        _try(["--no-ui", "--epochs", "0", *_filled(words, odd)], capfd)


def test_random_words_end_in_a_sentence(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = sorted({word for words in (*READERS, *TRAINERS) for word in words.split() if word.startswith("--")})
    commands = ["status", "events", "metrics", "runs", "diagnose", "configs", "data", "send"]
    chance = random.Random(5)
    for _ in range(200):
        words = [chance.choice([*options, *ODD, "live", "1", "--json"]) for _ in range(chance.randrange(5))]
        _try([chance.choice(commands), *words], capfd)


SCRIPTS = (b"\xff\xfe: pause", b"9" * 5000 + b": pause", b"9" * 400 + b": pause", b"1: \x1b", b"1:", b"\0")


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_a_script_that_is_none_is_one_sentence(home: Path, script: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    Path("script").write_bytes(script)
    for name in ("script", "."):
        _try(["--no-ui", "--config", "none", "--script", name], capfd)


CONFIGS = (
    b"\xff\xfe",
    b"[" * 20_000,
    b"a: " * 20_000,
    b"training: {epochs: " + b"9" * 5000 + b"}",
    b"training: {epochs: " + b"9" * 400 + b"}",
    b"model: {extractor_widths: [8, " + b"9" * 400 + b"]}",
    b"training: {learning_rate: 1e999}",
    b"extends: " + b"x" * 5000,
    b"extends: ~nobody-of-that-name/x.yaml",
    b"\0",
    b"? [a, b]\n: 1",
)


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_a_config_that_is_none_is_one_sentence(home: Path, config: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    Path("odd.yaml").write_bytes(config)
    _try(["--no-ui", "--config", "odd.yaml", "--epochs", "0"], capfd)

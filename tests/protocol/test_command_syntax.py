"""Commands as people type them."""

from __future__ import annotations

import math
from typing import get_args

import pytest

from engine.errors import UserError
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.words.command_syntax import COMMAND_WORDS, parse_command, usage

SPELLINGS: list[tuple[str, Command]] = [
    ("pause", c.Pause()),
    ("resume", c.Resume()),
    ("step", c.RunSteps(1)),
    ("step 20", c.RunSteps(20)),
    ("lower-lr", c.ScaleLr(0.5)),
    ("lower-lr 0.1", c.ScaleLr(0.1)),
    ("lower-lr -1", c.ScaleLr(-1.0)),
    ("raise-lr", c.ScaleLr(2.0)),
    ("raise-lr 3", c.ScaleLr(3.0)),
    ("set-lr 1e-5", c.SetLr(1e-5)),
    ("promote", c.PromotePhase(force=False)),
    ("promote --force", c.PromotePhase(force=True)),
    ("demote", c.DemotePhase()),
    ("enable contour_detection", c.EnableRefinement("contour_detection")),
    ("enable contour-detection", c.EnableRefinement("contour_detection")),
    ("disable subpixel_conv", c.DisableRefinement("subpixel_conv")),
    ("set-weight cross-entropy 2", c.SetLossWeight("cross_entropy", 2.0)),
    ("set-clip 0.5", c.SetGradientClip(0.5)),
    ("set-clip off", c.SetGradientClip(math.inf)),
    ("set-accumulation 4", c.SetAccumulation(4)),
    ("set-batch-size 8", c.SetBatchSize(8)),
    ("set-optimizer adam", c.SetOptimizer("adam")),
    ("checkpoint", c.SaveCheckpoint()),
    ("rollback", c.Rollback("")),
    ("rollback best.pt", c.Rollback("best.pt")),
    ("validate", c.Validate()),
    ("histogram unet.down.0", c.TakeHistogram("unet.down.0")),
    ("note the loss  is calm", c.AddNote("the loss is calm")),
    ("note", c.AddNote("")),
    ("guardian off", c.SetGuardian(False)),
    ("autopilot on", c.SetAutopilot(True)),
    ("exclude a.jpg#1 b.jpg#2", c.ExcludeSamples(("a.jpg#1", "b.jpg#2"))),
    ("set-knob temperature 0.7", c.SetKnob("temperature", 0.7)),
    ("set-knob top_k 5", c.SetKnob("top_k", 5)),
    ("set-knob mixup on", c.SetKnob("mixup", True)),
    ("set-knob mixup false", c.SetKnob("mixup", False)),
    ("set-knob mode hard", c.SetKnob("mode", "hard")),
    ("set-knob mode half hard", c.SetKnob("mode", "half hard")),
    ("set-knob temperature nan", c.SetKnob("temperature", "nan")),
    (f"set-knob temperature {'9' * 5000}", c.SetKnob("temperature", "9" * 5000)),
    ("stop", c.Stop()),
    ("stop for today", c.Stop("for today")),
]


@pytest.mark.parametrize(("text", "command"), SPELLINGS, ids=[text for text, _ in SPELLINGS])
def test_words_become_the_command(text: str, command: Command) -> None:
    assert parse_command(text.split()) == command


def test_every_command_can_be_typed() -> None:
    assert {type(command) for _, command in SPELLINGS} == set(get_args(Command))
    assert {text.split()[0] for text, _ in SPELLINGS} == set(COMMAND_WORDS)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a command is missing"),
        ("guardian perhaps", "'perhaps' is neither on nor off"),
        ("exclude", "no sample is named"),
        ("paus", "no command is called 'paus': did you mean 'pause'?"),
        ("lowerlr 0.5", "did you mean 'lower-lr'?"),
        ("pause now", "'now' is one argument too many"),
        ("step two", "cannot read 'step two': write 'step [N]'"),
        ("step 1.5", "write 'step [N]'"),
        ("step 1 2", "'2' is one argument too many"),
        ("lower-lr 2", "the factor that lowers must be below 1"),
        ("lower-lr nan", "the factor that lowers must be below 1"),
        ("lower-lr 0.5 0.5", "one argument too many"),
        ("raise-lr 0.5", "the factor that raises must be above 1"),
        ("raise-lr 2 3", "one argument too many"),
        ("set-lr", "write 'set-lr VALUE'"),
        ("set-lr fast", "write 'set-lr VALUE'"),
        ("promote now", "'now' is not --force"),
        ("enable", "write 'enable COMPONENT'"),
        ("set-weight dice", "write 'set-weight TERM VALUE'"),
        ("set-weight dice much", "write 'set-weight TERM VALUE'"),
        ("set-weight dice 1 2", "one argument too many"),
        ("set-knob temperature", "write 'set-knob NAME VALUE'"),
        ("set-knob", "write 'set-knob NAME VALUE'"),
        ("rollback a b", "one argument too many"),
        (f"step {'9' * 5000}", "write 'step [N]'"),
    ],
)
def test_words_that_make_no_sense_get_one_sentence_that_mends_them(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_command(text.split())
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", COMMAND_WORDS)
def test_usage_and_summary_stand_for_every_word(name: str) -> None:
    assert usage(name).split()[0] == name
    assert COMMAND_WORDS[name].summary

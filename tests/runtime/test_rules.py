"""Alert rules in a whole run: the alert, the command with its reason, a resume, and a reproduction."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from engine.config.supervision_sections import AlertRule
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.journal.reader import Entry, JournalReader
from engine.outputs.reproduction_report import ReproductionRequest
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Status
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.reproduce.reproduce import reproduce
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.tasks.person.config import PersonConfig
from engine.training.checkpoint.file import list_checkpoints
from tests.faulty import entries, long_config, run, series, state_of
from tests.small import small_config


def config_with(*rules: AlertRule) -> PersonConfig:
    return small_config().model_copy(update={"alerts": rules})


def entries_of(path: Path, *rules: AlertRule) -> list[Entry]:
    assert run(path, config_with(*rules)) == 0
    return entries(path)


def test_a_rule_raises_an_alert_and_sends_its_command(tmp_path: Path) -> None:
    rule = AlertRule(name="cool", when="step>=3 and loss>0", command="lower-lr 0.5", once=True)
    found = entries_of(tmp_path, rule)
    (alert,) = [x for x in found if isinstance(x.event, e.AlertRaised) and x.event.kind == "rule cool"]
    (scaled,) = [x for x in found if isinstance(x.event, e.LrScaled)]
    assert isinstance(alert.event, e.AlertRaised) and isinstance(scaled.event, e.LrScaled)
    assert alert.event.at_step == 3 and alert.event.severity == "warning"
    assert (scaled.actor, scaled.status, scaled.step) == ("rule", Status.APPLIED, 3)
    assert scaled.reason == f"rule cool: {alert.event.message}"
    assert scaled.event.after == pytest.approx(scaled.event.before / 2)


def test_a_rule_s_command_has_the_limits_of_all_commands(tmp_path: Path) -> None:
    found = entries_of(tmp_path, AlertRule(name="up", when="step==2", command="promote"))
    (refused,) = [x for x in found if isinstance(x.event, e.CommandRefused)]
    assert (refused.actor, refused.status) == ("rule", Status.REFUSED)
    assert refused.reason.startswith("rule up: step == 2 (step 2); ")


def test_a_rule_can_stop_the_run(tmp_path: Path) -> None:
    found = entries_of(tmp_path, AlertRule(name="enough", when="step>=4", command="stop seen enough"))
    assert isinstance(found[-1].event, e.RunFinished) and found[-1].event.reason == "stopped"
    assert found[-1].step == 4


COOL = AlertRule(name="cool", when="step==5 or step==7", command="lower-lr 0.5", again_after_steps=1)
EARLY = AlertRule(name="early", when="step==3", command="lower-lr 0.9")


def test_a_rule_acts_once_for_each_step_that_is_trained_again(tmp_path: Path) -> None:
    config = long_config(training={"epochs": 6, "warmup_epochs": 0.5}, checkpoint={"keep_last": 9})
    config = config.model_copy(update={"alerts": (COOL, EARLY)})
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(whole, config) == 0
    assert run(cut, config, script=(ScriptedCommand(8, c.Stop(), 1),)) == 0
    for path in list_checkpoints(cut / CHECKPOINTS):
        if path.stem not in ("step-00000000", "step-00000003"):
            path.unlink()
    assert run(cut, config, resume=True) == 0
    scaled = [x.event.scale for x in entries(whole, e.LrScaled) if isinstance(x.event, e.LrScaled)]
    assert scaled == pytest.approx([0.9, 0.45, 0.225])
    assert state_of(cut).lr_scale == state_of(whole).lr_scale
    assert series(cut, "lr") == series(whole, "lr")
    assert series(cut, "loss/total") == series(whole, "loss/total")


def test_what_a_rule_did_is_repeated_by_a_reproduction_and_not_decided_again(tmp_path: Path) -> None:
    config = long_config(training={"epochs": 6, "warmup_epochs": 0.5})
    assert run(tmp_path / "run", config.model_copy(update={"alerts": (COOL, EARLY)})) == 0
    report = reproduce(ReproductionRequest(tmp_path / "run", tmp_path, "again"), Interrupt())
    assert report.identical and report.num_redone == 3
    assert [x.actor for x in entries(tmp_path / "again", e.LrScaled)] == ["rule"] * 3


def test_a_rule_with_a_metric_that_the_task_lacks_is_refused_before_the_first_step(tmp_path: Path) -> None:
    config = config_with(AlertRule(name="a", when="val/mio<1"))
    with pytest.raises(UserError, match=r"the alert rule 'a': .* no 'val/mio': did you mean 'val/miou'"):
        train(RunRequest(tmp_path, config, device="cpu"), Interrupt())
    with closing(JournalReader(tmp_path)) as reader:
        assert reader.metric_names() == () and not reader.events(kinds=("run_started",))

"""Several processes adopt the decisions of rank 0 at the same step boundary."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import HashStore, distributed_c10d

from engine.adapters.ranks import rank_words
from engine.adapters.ranks.rank_word import RankWord
from engine.adapters.ranks.rank_words import RankWords
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from tests.adapters.remote import Remote
from tests.conftest import ROOT

PROGRAM = """
import sys
from pathlib import Path
import pytorch_lightning
from tests.adapters import pl_trainer as pl

folder = Path(sys.argv[1])
callback = pl.cockpit(folder)
knob = callback.knob("temperature", 1.0, low=0.0, high=5.0)
made = pl.trainer(
    folder, callback, max_epochs=100_000, max_steps=50_000, check_val_every_n_epoch=50_000, devices=2, strategy="ddp"
)
module = pl.Module()
made.fit(module, pl.loader(), pl.loader())
weights = sum(float(parameter.double().sum()) for parameter in module.parameters())
(folder / f"rank-{made.global_rank}").write_text(f"{made.global_step} {weights!r} {module.used[-1]!r} {knob()}")
"""


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> tuple[RankWords, RankWords]:
    """Return rank 0 and rank 1 of one training, in one process."""
    store = HashStore()
    monkeypatch.setattr(distributed_c10d, "_get_default_store", lambda: store)
    made: list[RankWords] = []
    for rank in (0, 1):
        monkeypatch.setattr(rank_words, "_count", 0)
        made.append(RankWords(rank, 2))
    return made[0], made[1]


def test_all_hold_at_the_boundary_after_the_announcement(ranks: tuple[RankWords, RankWords]) -> None:
    first, second = ranks
    word = RankWord(lr_scale=0.5, lr_pin=1e-3, clip=2.0, knobs={"t": 0.7, "on": True, "kind": "a"}, save=True)
    for boundary in range(1, 6):
        is_held = first.open_next()
        assert is_held is second.open_next()
        assert is_held is (boundary == 4)
        if is_held:
            first.say(word)
            assert second.hear() == word
        if boundary == 3:
            first.hold_next()


def test_a_pause_of_rank_0_holds_the_others_until_it_says_what_is_in_force(ranks: tuple[RankWords, RankWords]) -> None:
    first, second = ranks
    first.hold_next()
    assert first.open_next() and second.open_next()
    heard: list[RankWord] = []
    thread = threading.Thread(target=lambda: heard.append(second.hear()))
    thread.start()
    thread.join(0.2)
    assert not heard
    first.say(RankWord(stop=True))
    thread.join(10)
    assert heard == [RankWord(stop=True)]


@pytest.mark.parametrize("is_held", [False, True])
def test_when_rank_0_leaves_the_others_learn_it_at_the_next_boundary(
    ranks: tuple[RankWords, RankWords], is_held: bool
) -> None:
    first, second = ranks
    first.say(RankWord())
    second.hear_first()
    if is_held:
        first.hold_next()
    first.let_go()
    assert second.open_next()
    assert second.hear().is_gone


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pytorch_lightning") is None, reason="the extra `lightning` is not installed")
def test_two_processes_of_a_trainer_are_steered_together(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(program), str(tmp_path)]
    with subprocess.Popen(command, env=environment, start_new_session=True) as training:
        try:
            remote = Remote(tmp_path / "runs" / "pl")
            remote.await_state(lambda state: state.step >= 5)
            assert remote.send(c.ScaleLr(0.5)).status is Status.APPLIED
            assert remote.send(c.SetKnob("temperature", 3.0)).status is Status.APPLIED
            remote.send(c.Pause())
            at = remote.await_pause()
            assert "together" in remote.send(c.SaveCheckpoint()).reason
            remote.send(c.RunSteps(3))
            remote.await_state(lambda state: state.step == at + 3 and state.activity is Activity.PAUSED)
            remote.send(c.Resume())
            assert isinstance(remote.send(c.SaveCheckpoint()).event, e.CheckpointSaved)
            assert isinstance(remote.send(c.Validate()).event, e.ValidationCompleted)
            remote.send(c.Stop())
            assert training.wait(60) == 0
        finally:
            training.kill()
    first, second = ((tmp_path / f"rank-{rank}").read_text(encoding="utf-8") for rank in (0, 1))
    assert first == second
    step, _, rate, knob = first.split()
    state = remote.state()
    assert state is not None and state.step == int(step)
    assert (float(rate), float(knob)) == (0.005, 3.0)

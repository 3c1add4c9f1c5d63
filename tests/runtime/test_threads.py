"""The number of threads of a run: chosen once, recorded, used, and given back."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import torch

import engine.runtime.start.bootstrap
from engine.config.load import read_resolved
from engine.journal.disk.run_dir import CONFIG_FILE
from engine.journal.reader import JournalReader
from engine.outputs.free_cores import Threads
from engine.protocol.events import NoteAdded
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.loop import Loop
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.small import small_config


def test_auto_is_chosen_once_and_a_resume_uses_the_recorded_number(tmp_path: Path, monkeypatch) -> None:
    before, used = torch.get_num_threads(), list[int]()
    number = before + 1
    monkeypatch.setattr(engine.runtime.start.bootstrap, "choose_threads", lambda: Threads(number, "nobody is there"))
    trained = Loop.train
    monkeypatch.setattr(Loop, "train", lambda loop: used.append(torch.get_num_threads()) or trained(loop))
    config = small_config(training={"threads": "auto", "max_steps": 1})
    assert train(RunRequest(tmp_path, config, device="cpu"), Interrupt()) == 0
    recorded = read_resolved(tmp_path / CONFIG_FILE)
    assert recorded.training.threads == number
    with closing(JournalReader(tmp_path)) as reader:
        notes = [entry.event.text for entry in reader.events() if isinstance(entry.event, NoteAdded)]
    assert f"training.threads auto: {number}, for nobody is there; a resume keeps this number" in notes
    monkeypatch.setattr(engine.runtime.start.bootstrap, "choose_threads", lambda: pytest.fail("chosen again"))
    longer = recorded.model_copy(update={"training": recorded.training.model_copy(update={"max_steps": 2})})
    assert train(RunRequest(tmp_path, longer, device="cpu", resume=True), Interrupt()) == 0
    assert used == [number, number]
    assert torch.get_num_threads() == before, "the process keeps its own number"

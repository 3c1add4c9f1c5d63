"""A whole run with every guard: its journal, and its end."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path

import pytest

from engine.journal.reader import JournalReader
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from tests.small import small_config

ON = {"boundary_refinement": True, "boundary_aware_loss": True, "contour_detection": True, "active_contour_loss": True}


@pytest.mark.parametrize("bound", [0.0, 0.1])
def test_shares_are_journalled_every_so_many_steps_and_every_step_under_the_governor(
    tmp_path: Path, bound: float
) -> None:
    guard = {"share_every_steps": 3, "max_grad_share": bound}
    config = small_config(model={"refinements": ON}, guard=guard, training={"epochs": 5})
    assert train(RunRequest(tmp_path, config, device="cpu"), Interrupt()) == 0
    names = tuple(f"grad_share/{name}" for name in ON)
    with closing(JournalReader(tmp_path)) as reader:
        known, series = reader.metric_names(), reader.series(names)
    assert set(names) <= set(known)
    assert any(name.startswith("governor/") for name in known) == bool(bound)
    for name in names:
        there = series.present[name]
        wanted = set(series.steps.tolist()) if bound else {s for s in series.steps.tolist() if (s - 1) % 3 == 0}
        assert set(series.steps[there].tolist()) == wanted
        values = series.values[name][there].tolist()
        assert all(math.isfinite(value) and 0 <= value <= (bound or 1) * (1 + 1e-5) for value in values)


def test_the_share_of_clipped_steps_is_part_of_the_state(tmp_path: Path) -> None:
    config = small_config(training={"gradient_clip": 1e-6, "epochs": 2})
    assert train(RunRequest(tmp_path, config, device="cpu"), Interrupt()) == 0
    with closing(JournalReader(tmp_path)) as reader:
        state = reader.state()
    assert state is not None and state.clip_rate == 1.0

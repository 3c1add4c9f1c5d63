"""The end of a run that has not trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockpit.console.run_end import end_unbegun
from engine.journal.disk.new_run import create_run
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.host.time_limit import TimeLimit


def test_a_time_limit_before_the_first_step_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = create_run(tmp_path, "one", stem="one")
    end_unbegun(directory, Interrupt(limit=TimeLimit(1.0, "--time-limit 1s")))
    assert "before training began (--time-limit 1s)" in capsys.readouterr().err
    assert not directory.exists()


@pytest.mark.parametrize("interrupt", [Interrupt(), Interrupt(signal=15, has_trained=True)])
def test_a_run_that_trains_or_is_not_stopped_ends_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], interrupt: Interrupt
) -> None:
    end_unbegun(tmp_path, interrupt)
    assert not capsys.readouterr().err and tmp_path.exists()

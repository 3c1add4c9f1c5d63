"""A summary of a journal's entries."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cockpit.session.run_summary import failure_of, gradient_bound_of
from engine.config.files.yaml_text import dump_config
from engine.protocol.codec import Json
from tests.small import small_config


def test_the_gradients_bound_is_that_of_the_newest_configuration() -> None:
    first, second = (dump_config(small_config(gate={"max_grad_norm": bound})) for bound in (10.0, 2.5))
    assert gradient_bound_of([{"config": first}]) == 10.0
    assert gradient_bound_of([{"config": first}, {"config": second}]) == 2.5


@pytest.mark.parametrize(
    "sessions",
    [
        None,
        [],
        {},
        ["text"],
        [{}],
        [{"config": 3}],
        [{"config": "gate: {}"}],
        [{"config": "gate:\n  max_grad_norm: much"}],
    ],
)
def test_a_journal_that_does_not_say_has_no_bound(sessions: Json) -> None:
    assert gradient_bound_of(sessions) is None


def test_a_full_disk_is_the_reason_that_the_journal_could_not_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failure_of(tmp_path) == ""
    full = shutil.disk_usage(tmp_path)._replace(free=4096)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    assert failure_of(tmp_path).startswith("its disk is full, so that journal and last checkpoint could not be written")

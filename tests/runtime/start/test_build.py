"""What loading the data of a run reports before it trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.protocol.engine_events import AlertRaised
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest, open_recorder
from engine.runtime.start.build import load_data
from tests.small import small_config


@pytest.mark.parametrize(
    ("training", "kinds"),
    [
        ({"mixed_precision": True, "amp_dtype": "fp16"}, ["slow precision"]),
        ({"mixed_precision": True, "amp_dtype": "bf16"}, []),
        ({"mixed_precision": False, "amp_dtype": "fp16"}, []),
    ],
)
def test_fp16_on_the_processor_is_doubted_at_the_start(
    tmp_path: Path, training: dict[str, object], kinds: list[str]
) -> None:
    request = RunRequest(tmp_path, small_config(training=training), device="cpu")
    with open_recorder(request) as recorder:
        said = load_data(request, recorder, Interrupt()).said
    assert [event.kind for event in said if isinstance(event, AlertRaised)] == kinds

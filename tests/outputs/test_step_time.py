"""The division of a step's time in words, and the verdict with its evidence."""

from __future__ import annotations

import pytest

from engine.outputs.step_time import PARTS, TIME, Settings, StepTime, divided, step_time, verdict

NETWORK = {"forward": 30.0, "backward": 50.0, "optimizer": 5.0}


def _time(gpu_load: float | None = None, **shares: float) -> StepTime:
    """A step of 100 ms with these shares in %, the rest for the network."""
    rest = 100 - sum(shares.values())
    network = {part: share * rest / 85 for part, share in NETWORK.items()}
    return StepTime({part: share / 1000 for part, share in {**network, **shares}.items()}, 50, gpu_load)


@pytest.mark.parametrize(
    ("time", "settings", "said"),
    [
        (_time(data_wait=62), Settings(cores=2), "62 % waiting for data: data.num_workers 0 -> 2"),
        (_time(data_wait=40), Settings(num_workers=2, cores=8), "40 % waiting for data: data.num_workers 2 -> 4"),
        (
            _time(data_wait=40),
            Settings(num_workers=4, cores=4),
            "40 % waiting for data: data.num_workers 4 use all processors: a faster disk, or cheaper samples",
        ),
        (_time(checkpoint=40), Settings(checkpoint_steps=10), "40 % for checkpoints: checkpoint.every_steps 10 -> 200"),
        (_time(checkpoint=40), Settings(checkpoint_epochs=1), "40 % for checkpoints: checkpoint.every_epochs 1 -> 20"),
        (
            _time(checkpoint=12),
            Settings(checkpoint_steps=200, checkpoint_epochs=1),
            "12 % for checkpoints: checkpoint.every_steps 200 -> 1000 and checkpoint.every_epochs 1 -> 6",
        ),
        (_time(checkpoint=40), Settings(), "40 % for checkpoints: write them less often"),
        (_time(validation=50), Settings(), "50 % for validations: validation.every_epochs 1 -> 2"),
        (
            _time(transfer=20),
            Settings(),
            "20 % for copies to the device: smaller numbers in the samples, such as uint8",
        ),
        (
            _time(exchange=35),
            Settings(),
            "35 % for the exchange with other ranks: a larger training.batch_size",
        ),
        (
            _time(guards=15),
            Settings(),
            "15 % for guards: guard.check_weights_every and guard.share_every_steps, larger",
        ),
        (
            _time(41.0),
            Settings(),
            "launch-bound: the GPU computes 41 % of the time: a larger training.batch_size, or model.compile=true",
        ),
        (
            _time(41.0),
            Settings(is_compiled=True),
            "launch-bound: the GPU computes 41 % of the time: a larger training.batch_size",
        ),
        (
            _time(other=30),
            Settings(),
            "30 % outside the step, in monitors and the journal: a larger training.batch_size",
        ),
        (
            _time(96.0, data_wait=3),
            Settings(),
            "bound by the network, which takes 97 % of the time: nothing else is worth a change",
        ),
        (
            _time(data_wait=15, guards=10, validation=8, checkpoint=4, other=25),
            Settings(),
            "in many parts, of which the network takes 38 %: a larger training.batch_size",
        ),
    ],
)
def test_the_verdict_names_the_largest_removable_part_and_what_to_change(
    time: StepTime, settings: Settings, said: str
) -> None:
    assert verdict(time, settings) == said


def test_the_parts_are_listed_in_the_order_of_a_step_without_the_smallest() -> None:
    time = _time(data_wait=9.4, guards=0.5)
    assert divided(time) == "100 ms a step: data wait 9 %, forward 32 %, backward 53 %, optimizer 5 %"
    assert divided(StepTime({"forward": 2.0}, 1)) == "2.00 s a step: forward 100 %"


def test_a_run_without_the_times_has_no_division() -> None:
    assert step_time({"data_wait": 0.3}, 10) is None
    assert step_time({TIME + part: 0.0 for part in PARTS}, 10) is None
    assert step_time({TIME + "forward": 0.1}, 0) is None
    busy = step_time({TIME + "forward": 0.1, "system/cpu_others": 85.0}, 3)
    assert busy is not None
    said = "2 threads wait for each other, other processes use 1.7 of 2 processors: training.threads=1"
    assert verdict(busy, Settings(cores=2, threads=2)) == said
    assert verdict(busy, Settings(cores=2, threads=1)).startswith("bound by the network")
    found = step_time({TIME + "forward": 0.1, "system/gpu": 50.0}, 3)
    assert found == StepTime({"forward": 0.1}, 3, 50.0)

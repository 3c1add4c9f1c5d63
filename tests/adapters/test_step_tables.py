"""Steps that are recorded together have the rows, events and state that they have one by one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from cockpit import Cockpit
from engine.adapters.hooks.gradients.gradient_norms import Norms
from engine.adapters.hooks.update import Update
from engine.adapters.run import run_thread
from engine.adapters.steps import step_records, step_table
from engine.adapters.steps.arrival import bring_to_host
from engine.adapters.steps.step_reading import StepReading, verdict_of
from engine.protocol import events as e
from tests.adapters.own_loop import Training, entries, rows, state_of

TIMED = ("samples_per_second", "data_wait", "weight_norm/0", "weight_norm/3")
"""Metrics that depend on the clock: norms of the weights are read when it costs little."""


def trained(runs: Path) -> tuple[dict[int, dict[str, float]], list[str], tuple[object, ...]]:
    """Return the rows, events and state of a run with a NaN, logged numbers, two terms and a validation."""
    training = Training(poison=(40,), shuffle=False)

    def each(cockpit: Cockpit, step: int) -> None:
        if step > 6:
            cockpit.log(shown=float(step))
        if step == 10:
            cockpit.validated(accuracy=0.5)

    with training.cockpit(runs, guardian=False) as cockpit:
        training.run(cockpit, 2, each)
    found = rows(runs / "one")
    for row in found.values():
        for name in TIMED:
            assert row.pop(name) >= 0
    told = (e.StepSkipped, e.EpochCompleted, e.ValidationCompleted)  # the others come from threads
    happened = [f"{entry.step} {type(entry.event)}" for entry in entries(runs / "one") if isinstance(entry.event, told)]
    state = state_of(runs / "one")
    return found, happened, (state.step, state.loss, state.grad_norm, state.lr, state.skipped_steps)


def test_steps_recorded_together_are_the_same(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_thread, "_RECORD_SECONDS", 600.0)  # the end of the run records what is left
    sizes: list[int] = []
    table_of = step_table.table_of

    def counted(readings: list[StepReading], *, knows_data: bool) -> step_table.StepTable:
        sizes.append(len(readings))
        return table_of(readings, knows_data=knows_data)

    monkeypatch.setattr(step_records, "table_of", counted)
    together = trained(runs)
    assert max(sizes) > 3, "steps were recorded together"

    def never(reading: StepReading) -> bool:
        """Let every reading be recorded alone."""
        return False

    for module in (step_table, step_records):
        monkeypatch.setattr(module, "is_plain", never)
    sizes.clear()
    single = trained(tmp_path / "single")
    assert not sizes
    assert together[1:] == single[1:]
    assert together[0].keys() == single[0].keys()
    for number, row in single[0].items():
        assert together[0][number] == pytest.approx(row, rel=1e-6, nan_ok=True), number
        assert list(together[0][number]) == list(row)


@pytest.mark.parametrize("together", [True, False])
def test_the_total_is_the_sum_also_if_a_term_and_a_part_have_its_name(
    runs: Path, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    for module in () if together else (step_table, step_records):
        monkeypatch.setattr(module, "is_plain", lambda reading: False)  # pyright: ignore[reportUnknownLambdaType]
    model = torch.nn.ModuleDict({"total": torch.nn.Linear(2, 1), "other": torch.nn.Linear(2, 1)})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    norms: list[float] = []
    with Cockpit(model, optimizer, run="one", runs_dir=runs) as cockpit:
        for x in cockpit.steps([torch.rand(3, 2) for _ in range(6)]):
            cockpit.loss(
                {"total": model["total"](x).square().mean(), "other": model["other"](x).exp().mean()}
            ).backward()
            norms.append(
                float(torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))
            )
            optimizer.step()
            optimizer.zero_grad()
    for row, norm in zip(rows(runs / "one").values(), norms, strict=True):
        assert row["loss/total"] == pytest.approx(row["loss_raw/total"] + row["loss_raw/other"])
        assert row["grad_norm/total"] == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize(
    ("square", "loss", "counts", "is_finite", "is_bad_elsewhere"),
    [
        (1.0, 0.5, True, True, False),
        (1.0, math.nan, False, False, False),
        (1.0, 0.5, False, False, True),
        (math.nan, 0.5, False, False, False),
    ],
)
def test_a_step_on_a_device_counts_only_if_its_update_was_made(
    square: float, loss: float, counts: bool, is_finite: bool, is_bad_elsewhere: bool
) -> None:
    """Finite gradients do not say so: the loss, or the part of another process, may not have been finite."""
    norms = Norms(part_of=("network",), late=torch.tensor([square]))
    update = Update(1, norms=(norms,), losses=[torch.tensor(loss)], finite=torch.tensor(counts))
    reading = StepReading(update, {"": loss}, 0.1)
    bring_to_host([reading])
    verdict = verdict_of(reading)
    assert (verdict.is_finite, verdict.is_bad_elsewhere) == (is_finite, is_bad_elsewhere)
    assert math.isfinite(verdict.grad_norm) is is_finite

"""Histograms on demand in foreign trainings: of weights, gradients and outputs at the step after the request."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.modules import module as torch_module

from cockpit import Cockpit
from engine.adapters.hooks import patches
from engine.adapters.programs.command import Program, command_of
from engine.adapters.programs.program import run_program
from engine.journal.disk.new_run import create_run
from engine.outputs.inspection.histogram_file import kept_histograms
from engine.outputs.inspection.layer_histograms import Histogram, LayerHistograms
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.events import Status
from engine.runtime.host.interrupt import Interrupt
from tests.adapters.own_loop import Training, entries, events, rows, send, weights
from tests.adapters.small_network import backward, hooks_on, network
from tests.adapters.test_program import TRAIN
from tests.adapters.watched_program import Steering, script


def norm_of(histogram: Histogram | None) -> float:
    """The L2 norm of the values of a histogram."""
    assert histogram is not None
    return math.sqrt(histogram.sum_of_squares)


def hooks_of_torch() -> int:
    """The number of hooks on all modules."""
    return len(torch_module._global_forward_hooks)  # pyright: ignore[reportPrivateUsage]


def only(directory: Path) -> LayerHistograms:
    """The one file of histograms in a run."""
    (taken,) = kept_histograms(directory)
    return taken


def test_an_own_loop_takes_the_histograms_of_the_next_step(runs: Path) -> None:
    training = Training(shuffle=False, dropout=0.0)
    before, seen = hooks_of_torch(), list[list[torch.Tensor]]()

    def each(cockpit: Cockpit, step: int) -> None:
        if step == 3:
            send(cockpit, c.TakeHistogram("0"))
        if step == 4:
            seen.append(weights(training.model[0]))

    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1, each)
    taken = only(runs / "one")
    assert (taken.layer, taken.step, dict(taken.missing)) == ("0", 5, {})
    assert norm_of(taken.weights) == pytest.approx(math.hypot(*(float(w.norm()) for w in seen[0])), rel=1e-5)
    assert norm_of(taken.gradients) == pytest.approx(rows(runs / "one")[5]["grad_norm/0"], rel=1e-4)
    assert taken.activations is not None and taken.activations.count == 8 * 16
    assert [event.at_step for event in events(runs / "one", e.HistogramTaken)] == [5]
    assert hooks_of_torch() == before


def test_a_wrong_name_and_a_step_that_is_not_finite(runs: Path) -> None:
    training = Training(shuffle=False, poison=(40,))

    def each(cockpit: Cockpit, step: int) -> None:
        if step == 4:  # the next step, number 6, has a NaN among its inputs
            send(cockpit, c.TakeHistogram("2.weight"))
            send(cockpit, c.TakeHistogram("3.bias"))

    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1, each)
    answers = [entry for entry in entries(runs / "one") if entry.command_id]
    assert [entry.status for entry in answers] == [Status.REFUSED, Status.APPLIED]
    taken = only(runs / "one")
    assert taken.step == 6 and taken.weights is not None and taken.weights.nans == 0
    assert taken.gradients is not None and taken.gradients.nans == 2


def test_gradients_are_those_before_the_clip_and_after_the_loss_scale() -> None:
    found: list[float] = []
    for kind in ("plain", "clipped", "scaled"):
        model = network()
        hooks = hooks_on(model, optimizer := torch.optim.SGD(model.parameters(), 0.1, fused=True))
        patches.install(hooks)
        assert hooks.layers.request_histogram("network") == ""
        backward(model, 0)
        if kind == "clipped":
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        if kind == "scaled":
            optimizer.grad_scale = torch.tensor(8.0)  # type: ignore[attr-defined]
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad *= 8.0
        optimizer.step()
        patches.remove(hooks)
        (taken,) = hooks.take().histograms
        found.append(norm_of(taken.resolve(1).gradients))
        assert hooks.take().histograms == ()
        hooks.remove()
    assert found == pytest.approx([found[0]] * 3, rel=1e-4)


def test_a_layer_waits_for_the_optimizer_that_trains_it() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 1)
    model = nn.Sequential(first, second)
    optimizers = [torch.optim.SGD(part.parameters(), 0.1) for part in (first, second)]
    hooks = hooks_on(model, *optimizers)
    assert hooks.layers.request_histogram("1") == ""
    model(torch.randn(3, 2)).sum().backward()
    optimizers[0].step()
    assert hooks.take().histograms == ()
    optimizers[1].step()
    (taken,) = hooks.take().histograms
    assert taken.resolve(2).gradients is not None
    hooks.remove()


def test_a_request_changes_neither_the_rhythm_of_measured_layers_nor_the_numbers() -> None:
    model = network()
    hooks = hooks_on(model, optimizer := torch.optim.SGD(model.parameters(), 0.1))
    hooks.layers.measure_every(3)
    seen: list[tuple[bool, int]] = []
    for step in range(7):
        if step == 4:
            assert hooks.layers.request_histogram("network") == ""
        backward(model, step)
        optimizer.step()
        update = hooks.take()
        seen.append((update.layers is not None, len(update.histograms)))
        optimizer.zero_grad()
    assert seen == [(True, 0), (False, 0), (False, 0), (True, 0), (False, 1), (False, 0), (True, 0)]
    hooks.remove()


def test_a_fault_leaves_the_training_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("engine.training.gradients.layer_histogram.count", fail)
    model, before = network(), hooks_of_torch()
    hooks = hooks_on(model, optimizer := torch.optim.SGD(model.parameters(), 0.1))
    assert hooks.layers.request_histogram("network") == ""
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    update = hooks.take()
    assert update.count == 1 and update.histograms == () and update.grad_norm > 0
    assert "ZeroDivisionError" in capsys.readouterr().err and hooks_of_torch() == before
    hooks.remove()


def test_a_compiled_network_has_no_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.adapters.hooks.layers.layer_watch._is_compiled", lambda model: True)
    model = network()
    hooks = hooks_on(model, optimizer := torch.optim.SGD(model.parameters(), 0.1))
    assert hooks.layers.request_histogram("network") == ""
    backward(model, 0)
    optimizer.step()
    (taken,) = hooks.take().histograms
    found = taken.resolve(1)
    assert found.weights is not None and "compiled" in found.missing["activations"]
    hooks.remove()


@pytest.mark.slow
def test_an_untouched_program_takes_histograms(tmp_path: Path) -> None:
    directory = create_run(tmp_path / "runs", "one")
    command = command_of([script(tmp_path, TRAIN), "100000", "0.005"])
    plan: list[tuple[Callable[..., bool], Command]] = [
        (lambda state: state.step >= 10, c.TakeHistogram("2.weigh")),
        (lambda state: state.step >= 11, c.TakeHistogram("2")),
        (lambda state: bool(kept_histograms(directory)), c.Stop()),
    ]
    Steering(directory, plan).start()
    assert run_program(Program(command, directory), Interrupt()) == 0
    taken = only(directory)
    assert taken.layer == "2" and taken.step > 11 and not taken.missing
    assert norm_of(taken.gradients) == pytest.approx(rows(directory)[taken.step]["grad_norm/2"], rel=1e-4)
    assert taken.activations is not None and taken.activations.count == 8 * 2
    first = next(entry for entry in entries(directory) if entry.command_id)
    assert first.status is Status.REFUSED and "did you mean '2.weight'" in (first.reason or "")


def test_a_trainer_takes_histograms(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.adapters import hf_trainer

    callback = hf_trainer.cockpit(tmp_path)
    asked = hf_trainer.At(3, callback, c.TakeHistogram("body.0"))
    hf_trainer.trainer(tmp_path, asked, callback).train()
    taken = only(tmp_path / "runs" / "hf")
    assert (taken.layer, taken.step, dict(taken.missing)) == ("body.0", 4, {})
    assert taken.activations is not None and taken.activations.count == hf_trainer.BATCH * 8

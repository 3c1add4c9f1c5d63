"""Single layers of a foreign training: measured at some steps, recorded with the steps, and gone after a fault."""

from __future__ import annotations

import copy
import io
import json
import math
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from engine.adapters.child.link import _plain_layers  # pyright: ignore[reportPrivateUsage]
from engine.adapters.hooks import patches
from engine.adapters.hooks.layers import layer_watch, measure_interval
from engine.adapters.hooks.layers.layer_watch import LayerWatch
from engine.adapters.hooks.layers.measure_interval import VARIABLE, chosen_every
from engine.adapters.programs.sent_layers import SentLayers
from engine.journal.reader import JournalReader
from engine.journal.task_meta import LAYERS_META, layer_metric, layers_of
from tests.adapters.own_loop import Training, rows
from tests.adapters.small_network import backward, hooks_on, network


def series_of(directory: Path, layer: str, measure: str) -> Mapping[int, float]:
    """The recorded numbers of a layer by step."""
    metric = layer_metric(layer, measure)
    with closing(JournalReader(directory)) as reader:
        series = reader.series((metric,))
    there = series.present[metric]
    return dict(zip(series.steps[there].tolist(), series.values[metric][there].tolist(), strict=True))


def test_an_own_loop_records_its_layers_and_a_skipped_step_has_no_update(runs: Path) -> None:
    training = Training(poison=(40,), shuffle=False)
    before = training.model.get_parameter("0.weight").detach().norm().item()
    with training.cockpit(runs, layers_every=5) as cockpit:
        training.run(cockpit, 1)
    directory = runs / "one"
    norms, metrics = series_of(directory, "0.weight", "grad_norm"), rows(directory)
    assert list(norms) == [1, 6, 11], "the first step and every fifth"
    assert math.isinf(norms[6]) and list(series_of(directory, "0.weight", "update_ratio")) == [1, 11]
    for step in (1, 11):
        parts = [series_of(directory, f"0.{name}", "grad_norm")[step] for name in ("weight", "bias")]
        assert math.hypot(*parts) == pytest.approx(metrics[step]["grad_norm/0"], rel=1e-4)
    assert series_of(directory, "0.weight", "weight_norm")[1] == pytest.approx(before, rel=1e-5)
    zeros = series_of(directory, "1", "act_zeros")
    assert 1 not in zeros and 0.2 < zeros[11] < 0.8, "a ReLU's output, but for the first step"
    assert series_of(directory, "0", "act_zeros")[11] == 0.0
    with closing(JournalReader(directory)) as reader:
        described = layers_of(reader.meta(LAYERS_META))
    assert described is not None and described.every_steps == 5 and described.sizes["0.weight"] == 64


def test_a_clip_of_the_program_does_not_change_what_is_shown() -> None:
    norms: list[np.ndarray] = []
    for clips in (False, True):
        model = network()
        hooks = hooks_on(model, optimizer := torch.optim.SGD(model.parameters(), 0.1))
        patches.install(hooks)
        backward(model, 0)
        if clips:
            total = torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            assert total > 1e-3
        optimizer.step()
        patches.remove(hooks)
        layers = hooks.take().layers
        assert layers is not None
        norms.append(layers.resolve(counted=True).values[:4])
        hooks.remove()
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-4)


def test_only_due_steps_are_measured_and_nothing_stays_on_the_network() -> None:
    model = network()
    before = len(torch.nn.modules.module._global_forward_hooks)  # pyright: ignore[reportPrivateUsage]
    hooks = hooks_on(model, optimizer := torch.optim.SGD(model.parameters(), 0.1))
    hooks.layers.measure_every(2)
    measured: list[bool] = []
    for step in range(4):
        copied = copy.deepcopy(model)
        torch.save(copied, io.BytesIO())
        backward(model, step)
        optimizer.step()
        measured.append(hooks.take().layers is not None)
        optimizer.zero_grad()
    assert measured == [True, False, True, False]
    hooks.remove()
    assert len(torch.nn.modules.module._global_forward_hooks) == before  # pyright: ignore[reportPrivateUsage]


def test_a_fault_of_the_measurement_ends_only_the_measurement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = network()
    hooks = hooks_on(model, optimizer := torch.optim.SGD(model.parameters(), 0.1))

    def fail(watch: LayerWatch, parameters: object, scale: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(LayerWatch, "_note", fail)
    for step in range(2):
        backward(model, step)
        optimizer.step()
        update = hooks.take()
        assert update.count == 1 and update.layers is None and update.grad_norm > 0
    assert capsys.readouterr().err.count("layers are no longer measured") == 1
    hooks.remove()


def test_a_network_that_is_known_late_is_measured_without_outputs() -> None:
    model = nn.Sequential()
    hooks = hooks_on(model)
    late = nn.Linear(2, 2)
    hooks._names.add({"late": late})  # pyright: ignore[reportPrivateUsage]
    late(torch.ones(1, 2)).sum().backward()
    hooks.watch(optimizer := torch.optim.SGD(late.parameters(), 0.1))
    optimizer.step()
    layers = hooks.take().layers
    assert layers is not None
    measured = layers.resolve(counted=True)
    assert measured.names.parameters == ("late.weight", "late.bias")
    assert np.isfinite(measured.values[:8]).all() and np.isnan(measured.values[8:]).all()
    hooks.remove()


def test_the_numbers_of_another_process_arrive_as_they_were() -> None:
    model = network()
    hooks = hooks_on(model, optimizer := torch.optim.SGD(model.parameters(), 0.1))
    backward(model, 0)
    optimizer.step()
    layers = hooks.take().layers
    assert layers is not None
    message: Any = json.loads(json.dumps(_plain_layers(layers, counted=True)))
    sent = SentLayers.of(message)
    assert sent is not None and sent.every == chosen_every() == 50
    there, here = sent.resolve(counted=True), layers.resolve(counted=True)
    assert there.names == here.names
    np.testing.assert_array_equal(there.values, here.values)
    assert SentLayers.of(_plain_layers(None, counted=True)) is None
    hooks.remove()


@pytest.mark.parametrize(("word", "every"), [("", 50), ("0", 0), ("7", 7), ("often", 50)])
def test_the_environment_chooses_how_often(monkeypatch: pytest.MonkeyPatch, word: str, every: int) -> None:
    monkeypatch.setenv(VARIABLE, word)
    assert chosen_every() == every


def test_layers_are_measured_less_often_while_it_takes_more_than_a_thousandth_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step takes a second, and a measurement 0.16 of one, until it costs nothing."""
    monkeypatch.delenv(VARIABLE, raising=False)
    now, cost, used = 0.0, 0.04, 0.0

    def thread_time() -> float:
        nonlocal used
        used += cost
        return used

    monkeypatch.setattr(layer_watch, "time", SimpleNamespace(thread_time=thread_time))
    monkeypatch.setattr(measure_interval, "time", SimpleNamespace(perf_counter=lambda: now))
    model = network()
    hooks = hooks_on(model, optimizer := torch.optim.SGD(model.parameters(), 0.1))
    backward(model, 0)
    measured: dict[int, int] = {}
    for step in range(1, 602):
        now += 1.0
        cost = 0.04 if step <= 201 else 0.0
        optimizer.step()
        if (layers := hooks.take().layers) is not None:
            measured[step] = layers.every
    assert measured == {1: 50, 51: 50, 201: 200, 401: 200, 501: 100, 551: 50, 601: 50}
    hooks.remove()

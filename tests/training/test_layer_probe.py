"""Single layers: each number against a plain calculation, and a training that goes on as without the measurement."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.tasks.person.model.network import HierarchicalUNet
from engine.tasks.person.spec import refinements_of
from engine.training.gradients.layer_probe import NETWORK, LayerProbe
from engine.training.gradients.layer_values import LayerValues
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan, plan_for
from tests.person_state import person_state
from tests.small import random_batch, small_config, train_step_of, with_tensor

CONFIG = small_config(layers={"every_steps": 1})
PARAMETERS, MODULES = ("0.weight", "0.bias", "2.weight", "2.bias"), ("0", "1", "2")


def network() -> nn.Sequential:
    """A network whose hidden layer is half dead, with a frozen bias."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].bias[:2] = -100.0  # pyright: ignore[reportIndexIssue, reportArgumentType]
    model[2].bias.requires_grad_(False)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    return model


def by_name(measured: LayerValues | None) -> dict[str, np.ndarray]:
    """The numbers by measure."""
    assert measured is not None
    count = len(measured.names.parameters)
    names = ("grad_norm", "grad_zeros", "weight_norm", "update_ratio", "act_zeros")
    return dict(zip(names, np.split(measured.values, [count, 2 * count, 3 * count, 4 * count]), strict=True))


def one_step(model: nn.Module, probe: LayerProbe, data: Tensor, *, rate: float = 0.1) -> None:
    """Take a step of SGD between the calls of a probe."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=rate)
    probe.begin()
    with probe.watched():
        model(data).square().sum().backward()
    probe.note_gradients()
    optimizer.step()
    probe.note_update()


def test_each_number_is_that_of_a_plain_calculation() -> None:
    model, data = network(), torch.randn(5, 3)
    plain = copy.deepcopy(model)
    hidden = plain[:2](data)
    plain[2](hidden).square().sum().backward()
    probe = LayerProbe({"": model})
    one_step(model, probe, data)
    pending = probe.finish()
    assert pending is not None and (pending.names.parameters, pending.names.modules) == (PARAMETERS, MODULES)
    assert pending.names.sizes == (12, 4, 8, 2)
    found = by_name(pending.resolve(counted=True))
    grads = [p.grad for p in plain.parameters() if p.grad is not None]
    np.testing.assert_allclose(found["grad_norm"][:3], [float(g.norm()) for g in grads], rtol=1e-5)
    np.testing.assert_allclose(found["grad_zeros"][:3], [float((g == 0).float().mean()) for g in grads])
    assert found["grad_zeros"][1] >= 0.5, "two of four units are dead"
    np.testing.assert_allclose(found["weight_norm"], [float(p.detach().norm()) for p in plain.parameters()], rtol=1e-5)
    ratios = [0.1 * float(p.grad.norm() / p.detach().norm()) for p in plain.parameters() if p.grad is not None]
    np.testing.assert_allclose(found["update_ratio"][:3], ratios, rtol=1e-3)
    assert all(math.isnan(found[name][3]) for name in ("grad_norm", "grad_zeros", "update_ratio"))
    np.testing.assert_allclose(found["act_zeros"], [0.0, float((hidden == 0).float().mean()), 0.0])


def test_a_step_that_did_not_count_has_gradients_but_no_update() -> None:
    model = network()
    probe = LayerProbe({"": model})
    one_step(model, probe, torch.full((2, 3), math.nan), rate=0.0)
    pending = probe.finish()
    assert pending is not None
    found = by_name(pending.resolve(counted=False))
    assert np.isnan(found["update_ratio"]).all()
    assert np.isposinf(found["grad_norm"][:3]).all(), "a gradient that is not finite differs from none"
    assert np.isfinite(found["weight_norm"]).all()


def test_outputs_in_evaluation_and_those_after_a_failed_pass_are_not_counted() -> None:
    model, data = network(), torch.randn(4, 3)
    probe = LayerProbe({"": model})
    before = len(torch.nn.modules.module._global_forward_hooks)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(ZeroDivisionError), probe.watched():
        model.eval()(data)
        raise ZeroDivisionError
    model.train()(data)
    assert len(torch.nn.modules.module._global_forward_hooks) == before  # pyright: ignore[reportPrivateUsage]
    probe.note_gradients()
    pending = probe.finish()
    assert pending is not None and not pending.outputs
    assert probe.finish() is None


def test_several_passes_count_together_and_a_container_costs_no_second_count() -> None:
    model = nn.ModuleDict({"block": nn.Sequential(nn.Identity(), nn.ReLU()), "list": nn.ModuleList([nn.ReLU()])})
    probe = LayerProbe({"net": model})
    assert probe.names.modules == ("net.block", "net.block.0", "net.block.1", "net.list.0")
    counts: list[int] = []
    count = probe._count_of  # pyright: ignore[reportPrivateUsage]
    probe._count_of = lambda tensor: (counts.append(id(one := count(tensor))), one)[1]  # pyright: ignore[reportPrivateUsage]
    with probe.watched():
        model["block"](torch.tensor([-1.0, 1.0]))
        model["block"](torch.tensor([1.0, 1.0]))
    assert len(counts) == 6 and len(set(counts)) == 4


def test_a_single_layer_has_the_name_of_the_network_and_sparse_gradients_are_read() -> None:
    model = nn.Embedding(10, 2, sparse=True)
    probe = LayerProbe({"": model})
    assert probe.names.modules == (NETWORK,)
    probe.begin()
    with probe.watched():
        model(torch.tensor([1, 3])).sum().backward()
    probe.note_gradients(scale=2.0)
    pending = probe.finish()
    assert pending is not None
    found = by_name(pending.resolve(counted=True))
    assert found["grad_norm"].tolist() == [1.0]
    assert found["grad_zeros"].tolist() == pytest.approx([0.8])


# --- in a step of the engine ------------------------------------------------------------


def stepper() -> TrainStep:
    torch.manual_seed(0)
    return train_step_of(CONFIG, HierarchicalUNet(CONFIG.model))


def plan_of(*, measured: bool) -> StepPlan:
    state = person_state(run="r", refinements=refinements_of(4), loss_weights=CONFIG.loss.weights)
    plan = plan_for(1.0, state, CONFIG)
    assert plan.measure_layers
    return replace(plan, measure_layers=measured)


def test_a_measured_step_changes_neither_weights_nor_generators_and_is_measured_only_if_planned() -> None:
    ends: list[tuple[dict[str, Tensor], Tensor]] = []
    for measured in (False, True):
        train_step = stepper()
        for seed in range(2):
            pending = train_step.run([random_batch(CONFIG, seed=seed)], plan_of(measured=measured))
            assert (pending.layers is not None) is measured
        ends.append((copy.deepcopy(train_step.model.state_dict()), torch.get_rng_state()))
    (plain, random), (watched, random_watched) = ends
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    assert torch.equal(random, random_watched)


def test_the_parts_of_the_network_are_the_sums_of_their_layers() -> None:
    train_step = stepper()
    pending = train_step.run([random_batch(CONFIG)], plan_of(measured=True))
    report = pending.resolve()
    assert pending.layers is not None
    measured = pending.layers.resolve(counted=report.finite)
    found, names = by_name(measured), measured.names.parameters
    norms = dict(zip(report.names, report.values, strict=True))
    for part in ("unet", "boundary_refinement"):
        own = [number for number, name in enumerate(names) if name.startswith(f"{part}.")]
        for measure in ("grad_norm", "weight_norm"):
            assert np.sqrt(np.nansum(found[measure][own] ** 2)) == pytest.approx(norms[f"{measure}/{part}"], rel=1e-4)
    assert np.nanmax(found["update_ratio"]) > 0
    assert 0 < np.nanmax(found["act_zeros"]) <= 1


def test_a_non_finite_step_of_the_engine_shows_its_gradients() -> None:
    train_step = stepper()
    batch = random_batch(CONFIG)
    bad = with_tensor(batch, "image_N3HW", torch.full_like(batch.tensors["image_N3HW"], math.nan))
    pending = train_step.run([bad], plan_of(measured=True))
    report = pending.resolve()
    assert not report.finite and pending.layers is not None
    found = by_name(pending.layers.resolve(counted=report.finite))
    assert np.isposinf(found["grad_norm"]).any() and np.isnan(found["update_ratio"]).all()

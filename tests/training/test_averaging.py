"""The average of weights: its arithmetic, its use, and what does not change it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from engine.config.sections import TrainingConfig
from engine.tasks.person.model.network import HierarchicalUNet
from engine.training.averaging import AVERAGED, AVERAGING, WeightAverage, holds_average, move_towards
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan, plan_for
from tests.person_state import person_state
from tests.small import random_batch, small_config, train_step_of, with_tensor

YES, NO = torch.tensor(True), torch.tensor(False)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def walk(model: nn.Module) -> None:
    """Change every weight and statistic."""
    for tensor in [*model.parameters(), *model.buffers()]:
        tensor.data.add_(1)


def averaged(average: WeightAverage) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in average.state_dict()[AVERAGED].items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_an_ema_keeps_less_in_its_first_steps_and_then_its_decay() -> None:
    model = network()
    average = WeightAverage(model, TrainingConfig(averaging="ema", ema_decay=0.8))
    expected = model.state_dict()["0.weight"].clone()
    for step in range(60):
        walk(model)
        average.update(YES)
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.state_dict()["0.weight"]
    torch.testing.assert_close(averaged(average)["0.weight"], expected)
    assert averaged(average)["1.num_batches_tracked"] == 60, "a counter is that of the network"
    assert average.state_dict()[AVERAGING] == {"kind": "ema", "counts": {"0": 60, "1": 60}}


def test_swa_is_the_mean_of_all_that_entered_and_has_no_weights_before() -> None:
    model = network()
    average = WeightAverage(model, TrainingConfig(averaging="swa"))
    walk(model)
    assert average.state_dict() == {} and not average.is_begun
    taken: list[dict[str, Tensor]] = []
    for _ in range(5):
        walk(model)
        average.update(YES)
        taken.append({name: value.clone() for name, value in model.state_dict().items()})
    for name in ("0.weight", "0.bias", "1.weight", "1.running_mean", "1.running_var"):
        torch.testing.assert_close(averaged(average)[name], torch.stack([one[name] for one in taken]).mean(0))


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_a_step_that_is_not_finite_changes_nothing(kind: str) -> None:
    model = network()
    average = WeightAverage(model, TrainingConfig.model_validate({"averaging": kind}))
    average.update(NO)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    walk(model)
    assert equal(
        {n: v for n, v in averaged(average).items() if "num" not in n},
        {n: v for n, v in first.items() if "num" not in n},
    )
    average.update(YES)
    before, counts = averaged(average), average.state_dict()[AVERAGING]
    average.update(NO)
    assert equal(averaged(average), before) and average.state_dict()[AVERAGING] == counts == {
        "kind": kind,
        "counts": {"0": 1, "1": 1},
    }


def test_a_weight_that_only_the_device_knows_moves_as_far() -> None:
    torch.manual_seed(0)
    live = [torch.randn(3, 4), torch.randn(5)]
    averages = [torch.randn(3, 4), torch.randn(5)]
    before = [tensor.clone() for tensor in averages]
    move_towards(averages, live, torch.tensor(0.0))
    assert all(map(torch.equal, averages, before))
    move_towards(averages, live, torch.tensor(0.3))
    for moved, start, end in zip(averages, before, live, strict=True):
        torch.testing.assert_close(moved, torch.lerp(start, end, 0.3))


def test_a_part_that_is_switched_on_begins_at_its_present_weights() -> None:
    model = network()
    average = WeightAverage(model, TrainingConfig(averaging="swa"))
    for _ in range(3):
        walk(model)
        average.update(YES)
    before = averaged(average)
    average.begin({"1", "a component without weights"})
    now, live = averaged(average), model.state_dict()
    assert torch.equal(now["1.weight"], live["1.weight"]) and torch.equal(now["1.running_mean"], live["1.running_mean"])
    assert torch.equal(now["0.weight"], before["0.weight"])
    assert average.state_dict()[AVERAGING]["counts"] == {"0": 3, "1": 0}


def test_the_network_has_its_averages_in_the_block_only_whatever_ends_it() -> None:
    model = network()
    average, first = WeightAverage(model, TrainingConfig(averaging="ema")), model.state_dict()["0.weight"].clone()
    walk(model)
    parameter, live = next(model.parameters()), {n: v.clone() for n, v in model.state_dict().items()}
    with pytest.raises(ValueError, match="ends"), average.in_use():
        assert next(model.parameters()) is parameter and torch.equal(parameter, first)
        raise ValueError("the block ends")
    assert equal(dict(model.state_dict()), live)
    swa = WeightAverage(model, TrainingConfig(averaging="swa"))
    with swa.in_use():
        assert equal(dict(model.state_dict()), live), "an average that has not begun has no weights"


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_an_average_is_restored_bit_for_bit_and_goes_on_so(kind: str) -> None:
    training = TrainingConfig.model_validate({"averaging": kind, "ema_decay": 0.9})
    model, other = network(), network()
    average = WeightAverage(model, training)
    for _ in range(4):
        walk(model)
        average.update(YES)
    kept = {"model": {n: v.clone() for n, v in model.state_dict().items()}, **average.state_dict()}
    kept[AVERAGED] = averaged(average)
    other.load_state_dict(kept["model"])
    restored = WeightAverage(other, training)
    restored.load(kept)
    for one, held in ((model, average), (other, restored)):
        walk(one)
        held.update(YES)
    assert equal(averaged(restored), averaged(average))
    assert restored.state_dict()[AVERAGING] == average.state_dict()[AVERAGING]


def test_a_checkpoint_without_this_kind_begins_the_average_at_its_weights() -> None:
    model = network()
    ema, swa = (WeightAverage(model, TrainingConfig.model_validate({"averaging": kind})) for kind in ("ema", "swa"))
    walk(model)
    swa.update(YES)
    walk(model)
    held = swa.state_dict()
    assert holds_average(held, "swa") and not holds_average(held, "ema") and not holds_average({}, "ema")
    ema.load(held)
    assert equal(averaged(ema), dict(model.state_dict()))
    swa.load({AVERAGED: None, AVERAGING: None})
    assert not swa.is_begun and swa.state_dict() == {}


def test_an_average_with_a_value_that_is_not_finite_is_known() -> None:
    model = network()
    average = WeightAverage(model, TrainingConfig(averaging="ema"))
    assert average.is_finite() and average.validated == "ema"
    next(model.parameters()).data[0, 0] = math.inf
    average.update(YES)
    assert not average.is_finite()


# --- with steps -------------------------------------------------------------------------


def stepped(kind: str) -> tuple[TrainStep, StepPlan]:
    config = small_config(model={"norm": "batch"}, training={"averaging": kind, "swa_every_steps": 1, "swa_start": 0.0})
    torch.manual_seed(0)
    model = HierarchicalUNet(config.model)
    train_step = train_step_of(config, model)
    state = person_state(refinements=frozenset(), loss_weights=dict(config.loss.weights))
    return train_step, plan_for(1.0, state, config)


def test_a_step_enters_the_average_unless_it_was_not_finite_or_is_not_due() -> None:
    train_step, plan = stepped("swa")
    average, batch = train_step.average, random_batch(small_config())
    assert plan.averaged
    train_step.run([batch], plan).resolve()
    first = averaged(average)
    assert equal(first, dict(train_step.model.state_dict()))
    image = batch.tensors["image_N3HW"].clone()
    image[0, 0, 3, 3] = math.nan
    assert not train_step.run([with_tensor(batch, "image_N3HW", image)], plan).resolve().finite
    assert equal(averaged(average), first) and average.is_finite()
    train_step.run([batch], replace(plan, averaged=False)).resolve()
    unchanged = averaged(average)
    assert all(torch.equal(unchanged[name], first[name]) for name in first if "num" not in name)
    train_step.run([batch], plan).resolve()
    assert not torch.equal(averaged(average)["shared.0.0.weight"], first["shared.0.0.weight"])


def test_swa_takes_every_nth_step_after_its_start_and_ema_takes_all() -> None:
    state, later = (person_state(step=step, loss_weights=dict(small_config().loss.weights)) for step in (40, 41))
    swa = {"averaging": "swa", "swa_start": 0.5, "swa_every_steps": 20, "epochs": 10}
    config = small_config(training=swa)
    assert plan_for(5.0, state, config).averaged and not plan_for(4.9, state, config).averaged
    assert not plan_for(5.0, later, config).averaged
    assert plan_for(0.1, later, small_config(training={"averaging": "ema"})).averaged
    assert not plan_for(0.1, state, small_config()).averaged


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_parts_without_weights_have_no_average(kind: str) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout())
    average = WeightAverage(model, TrainingConfig(averaging=kind))
    average.update(YES)
    assert average.state_dict()[AVERAGING] == {"kind": kind, "counts": {"0": 1}}
    average.load({AVERAGED: model.state_dict(), AVERAGING: {"kind": kind, "counts": {"0": 4}}})
    average.begin({"0", "1"})
    assert average.is_finite()


def test_without_averaging_there_is_nothing() -> None:
    model = network()
    average = WeightAverage(model, TrainingConfig())
    average.load({"model": model.state_dict()})
    assert average.validated == "" and average.state_dict() == {} and average.is_finite()
    with average.in_use():
        assert equal(dict(model.state_dict()), dict(network().state_dict()))

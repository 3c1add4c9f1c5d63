"""The ablation: its design is balanced, its settings are a configuration, and its effects are those put in."""

from __future__ import annotations

import argparse
import json
from itertools import combinations
from pathlib import Path

import pytest

from engine.config.load import load_config
from tests.benchmarks import learning
from tests.benchmarks.levers import LEVERS, SIZES, design, effects, settings_of

FREE = [lever.name for lever in LEVERS if not (lever.only_with or lever.only_without)]


@pytest.mark.parametrize("num_runs", SIZES)
def test_each_lever_is_on_in_half_of_the_runs_and_each_pair_in_a_quarter(num_runs: int) -> None:
    runs = design(num_runs)
    assert len(runs) == num_runs
    assert all(sum(name in run for run in runs) == num_runs // 2 for name in FREE)
    assert all(sum({*pair} <= run for run in runs) == num_runs // 4 for pair in combinations(FREE, 2))


def test_a_lever_that_needs_another_or_excludes_it_is_off_where_it_must_be() -> None:
    runs = design(24)
    assert all("context" in run for run in runs if "box channel" in run)
    assert not any({"batch norm", "group norm"} <= run for run in runs)
    assert {"box channel", "group norm"} <= frozenset().union(*runs)


@pytest.mark.parametrize("row", range(24))
def test_the_settings_of_each_run_are_a_configuration_and_name_each_key_once(row: int) -> None:
    on = design(24)[row]
    words = settings_of(on)
    keys = [word.partition("=")[0] for word in words]
    assert len(keys) == len(set(keys))
    config = load_config("small", words)
    tree = config.model_dump()
    assert tree["model"]["norm"] == ("batch" if "batch norm" in on else "group" if "group norm" in on else "layer")
    assert (tree["data"]["augmentations"]["copy_paste"] > 0) == ("copy-paste" in on)
    assert (tree["training"]["averaging"] == "swa") == ("SWA for EMA" in on)


def test_the_levers_that_are_on_in_small_have_its_values() -> None:
    in_small = frozenset(lever.name for lever in LEVERS if lever.in_small)
    found = load_config("small", settings_of(in_small)).model_dump()
    small = load_config("small").model_dump()
    for section, keys in {"data": ("augmentations", "roi_padding"), "loss": ("class_weights",)}.items():
        assert {key: found[section][key] for key in keys} == {key: small[section][key] for key in keys}
    assert found["model"]["norm"] == small["model"]["norm"] and not found["model"]["box_channel"]
    assert [found["training"][key] for key in ("averaging", "schedule")] == ["ema", "cosine"]


def test_the_effects_are_those_put_into_the_scores_and_only_those_are_clear() -> None:
    runs = design(24)
    noise = [0.002 * (-1) ** (row // 2) for row in range(24)]
    scores = [
        0.4 + 0.05 * ("copy-paste" in run) - 0.04 * ("box channel" in run) + noise[row] for row, run in enumerate(runs)
    ]
    found = effects(runs, scores)
    assert found["copy-paste"].change == pytest.approx(0.05, abs=0.003)
    assert found["box channel"].change == pytest.approx(-0.04, abs=0.005)
    assert {name for name, effect in found.items() if effect.is_clear} == {"copy-paste", "box channel"}
    assert (found["copy-paste"].num_on, found["copy-paste"].num_off) == (12, 12)


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="10 runs cannot tell 13 levers apart"):
        effects(design(24)[:10], [0.0] * 10)


def test_measured_runs_are_not_trained_again_and_the_table_has_every_lever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[str] = []

    def train(run: Path, recipe: learning.Recipe, seed: int, options: argparse.Namespace) -> float:
        trained.append(f"{run.name} {seed}")
        return 60.0

    def measured(run: Path, data: str) -> dict[str, float]:
        numbers = {name: 0.5 + 0.001 * (int(run.name[-2:]) % 3) for name in learning.COLUMNS}
        return {"step": 8.0, **{f"held_{name}": numbers[name] for name in learning.HELD}, **numbers}

    monkeypatch.setattr(learning, "train", train)
    monkeypatch.setattr(learning, "measured", measured)
    kept = {"minutes": 2.0, **measured(tmp_path / "levers-07", "")}
    (tmp_path / "levers-07.json").write_text(json.dumps(kept))
    learning.main(["--data", "none", "--ablate", "20", "--runs-dir", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert len(trained) == 19 and "levers-07 7" not in trained and "levers-19 19" in trained
    assert [line.split(" | ")[0][2:] for line in lines if " | on | " in line or " | off | " in line] == [
        lever.name for lever in LEVERS
    ]
    assert lines[-1] == "20 runs of 8 steps, 1.0 to 2.0 minutes each"

"""The data of a comparison: curves on a common axis, differences of configurations, interventions side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from cockpit.ui.panels.comparing.overlay import OverlaidRuns, curve_name, metrics_of_runs, spec_of_metric
from cockpit.ui.panels.comparing.runs import KINDS, ComparedRun, open_runs
from cockpit.ui.panels.comparing.tables import config_differences, config_rows, fitted, intervention_rows
from engine.errors import UserError
from tests.panels.comparing.pairs import record_pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ComparedRun]]:
    runs = open_runs(record_pair(tmp_path_factory.mktemp("pair")))
    yield runs
    for run in runs:
        run.close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_of_every_run_is_in_one_column_of_any_axis(pair: list[ComparedRun], kind: str) -> None:
    source = OverlaidRuns(pair, next(known for known in KINDS if known == kind))
    names = [curve_name("loss/total", number) for number in range(2)]
    window = np.linspace(source.first_step, source.last_step + 1, 31)
    found = source.buckets_of(names, first=window[0], last=window[-1], columns=30, edges=window)
    for name, run in zip(names, pair, strict=True):
        _, values = run.curves.history.rows("loss/total", 0, 2**62)
        finite = values[np.isfinite(values)]
        assert np.nanmin(found[name].low_C) == pytest.approx(finite.min())
        assert np.nanmax(found[name].high_C) == pytest.approx(finite.max())
    columns = [np.flatnonzero(~np.isnan(found[name].mean_C)) for name in names]
    assert columns[0][-1] == 29
    assert columns[1][-1] < 29


def test_the_value_at_a_place_is_that_of_each_runs_own_step(pair: list[ComparedRun]) -> None:
    by_epoch = OverlaidRuns(pair, "epoch")
    history = pair[1].curves.history
    assert by_epoch.at(curve_name("loss/total", 1), 1000) == history.at("loss/total", 50)
    assert by_epoch.at(curve_name("loss/total", 1), 2000) is None
    assert by_epoch.newest(curve_name("loss/total", 1)) == history.newest("loss/total")
    assert by_epoch.axis is not None and by_epoch.axis.place(1000) == pytest.approx(1.0)
    units, values = by_epoch.rows(curve_name("val/loss", 1), 0, 10_000)
    assert units.tolist() == [1200] and values.size == 1


def test_samples_count_batches_of_the_size_that_was_in_force(pair: list[ComparedRun]) -> None:
    first, second = (run.axis("samples") for run in pair)
    assert first is not None and first.place(100) == pytest.approx(400)
    assert second is not None and [second.place(step) for step in (20, 60)] == pytest.approx([80, 80 + 8 * 40])


def test_a_chart_names_each_run_as_it_is_called(pair: list[ComparedRun]) -> None:
    spec = spec_of_metric("val/miou", pair)
    assert spec.bounds == (0.0, 1.0) and spec.title == "val/miou"
    assert [spec.label(name, spec.metrics) for name in spec.metrics] == ["base", "other_run"]
    names = metrics_of_runs(pair)
    assert names[:2] == ("loss/total", "val/loss") and len(set(names)) == len(names)


def test_only_keys_that_differ_are_listed(pair: list[ComparedRun]) -> None:
    assert config_differences(pair) == {"training.learning_rate": [0.003, 0.0003], "training.note": [None, "new"]}
    assert config_rows(pair) == [
        ["key", "base", "other_run"],
        ["training.learning_rate", "0.003", "0.0003"],
        ["training.note", "-", "new"],
    ]
    assert config_rows([pair[0], pair[0]]) == []


def test_interventions_are_side_by_side_with_actor_and_outcome(pair: list[ComparedRun]) -> None:
    head, *rows = intervention_rows(pair)
    assert head == ["step", "base", "other_run"]
    mine = [row for row in rows if row[2]]
    assert (
        mine[0][0] == "20"
        and "clamped: learning rate 5.00e-06 -> 1.00e-06, set by hand (too low) [cli:ada]" in mine[0][2]
    )
    assert "batch size 4 -> 8 [cockpit]" in mine[1][2] and mine[1][0] == ""
    steps = [int(row[0]) for row in rows if row[0]]
    assert steps == sorted(set(steps)) and any(row[1] for row in rows)


@pytest.mark.parametrize("width", [36, 60, 200])
def test_a_table_fits_and_loses_no_word(width: int) -> None:
    rows = [["key", "first", "second"], ["training.learning_rate", "a value of several words " * 3, "x" * 50]]
    lines = fitted(rows, width)
    assert max(map(len, lines)) <= width
    assert sorted("".join(lines).replace(" ", "")) == sorted("".join("".join(row) for row in rows).replace(" ", ""))


def test_runs_that_cannot_be_compared_are_one_sentence(tmp_path: Path) -> None:
    base, other = record_pair(tmp_path)
    for directories, said in (
        ([base], "compare needs two runs or more"),
        ([base, base], "compare names the same run twice"),
        ([base, tmp_path / "nothing"], "there is no journal at"),
    ):
        with pytest.raises(UserError, match=said):
            open_runs(directories)
    twins = open_runs([base, other])
    assert [run.name for run in twins] == ["base", "other_run"]
    for run in twins:
        run.close()


def test_cells_with_wide_characters_are_aligned_and_broken_by_their_cells() -> None:
    lines = fitted([["key", "實驗🙂", "b"], ["精度" * 9, "1", "2"]], 26)
    assert {cell_len(line.rpartition(" ")[0]) for line in lines[:2]} == {24}
    assert all(cell_len(line) <= 26 for line in lines) and "".join(lines).count("精") == 9

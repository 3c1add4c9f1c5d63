"""Metric histories: lineages of branches, changing layouts, NaN and absent values."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from engine.errors import UserError
from engine.journal import series as series_module
from engine.journal.reader import JournalReader
from engine.journal.series import Series
from engine.journal.store import JOURNAL_FILE
from engine.journal.writer import JournalWriter
from tests.recorded import writing


def record(writer: JournalWriter, steps: Sequence[int], *, mark: float = 0.0) -> None:
    """Write rows whose value `a` identifies their origin."""
    for step in steps:
        writer.record_step(step, step / 10, ("a",), (mark + step,))


def read(path: Path, names: Sequence[str], **bounds: object) -> Series:
    with closing(JournalReader(path)) as reader:
        return reader.series(names, **bounds)  # pyright: ignore[reportArgumentType]


def test_an_empty_journal_has_an_empty_series(run_dir: Path, writer: JournalWriter) -> None:
    series = read(run_dir, ["a"])
    assert (series.steps.dtype, series.values["a"].dtype, series.present["a"].dtype) == (np.int64, np.float32, np.bool_)
    assert series.steps.size == series.epochs.size == series.values["a"].size == series.present["a"].size == 0


def test_a_name_that_was_never_recorded_is_absent(run_dir: Path, writer: JournalWriter) -> None:
    record(writer, [1, 2])
    writer.flush()
    series = read(run_dir, ["b", "a"])
    assert series.steps.tolist() == [1, 2]
    assert not series.present["b"].any()
    assert np.isnan(series.values["b"]).all()
    assert read(run_dir, ["b"]).steps.size == 0


def test_what_is_not_finite_stays_what_it_was_and_differs_from_absent(run_dir: Path, writer: JournalWriter) -> None:
    writer.record_step(1, 0.1, ("a", "b"), (math.nan, math.inf))
    writer.record_step(2, 0.2, ("a",), (-math.inf,))
    writer.record_step(3, 0.3, ("b",), (1e300,))
    writer.flush()
    series = read(run_dir, ["a", "b"])
    np.testing.assert_array_equal(series.values["a"], np.array([np.nan, -np.inf, np.nan], np.float32))
    np.testing.assert_array_equal(series.values["b"], np.array([np.inf, np.nan, np.inf], np.float32))
    assert series.present["a"].tolist() == [True, True, False]
    assert series.present["b"].tolist() == [True, False, True]


def test_layouts_may_change_order_grow_and_shrink(
    run_dir: Path, writer: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_module, "ROWS_PER_CHUNK", 7)
    layouts = [("a", "b"), ("b", "a"), ("b", "a", "c"), ("c",), ("a", "b")]
    rng = np.random.default_rng(0)
    expected: dict[str, dict[int, float]] = {"a": {}, "b": {}, "c": {}}
    for step in range(100):
        names = layouts[int(rng.integers(len(layouts)))]
        values = [float(np.float32(value)) for value in rng.normal(size=len(names))]
        writer.record_step(step, step / 10, names, values)
        for name, value in zip(names, values, strict=True):
            expected[name][step] = value
    writer.flush()
    series = read(run_dir, ["c", "a", "b"])
    assert series.steps.tolist() == list(range(100))
    assert series.epochs.tolist() == [step / 10 for step in range(100)]
    for name, known in expected.items():
        there = series.present[name]
        assert series.steps[there].tolist() == sorted(known)
        assert series.values[name][there].tolist() == [known[step] for step in sorted(known)]


def test_validations_join_the_steps_they_followed(run_dir: Path, writer: JournalWriter) -> None:
    record(writer, range(1, 5))
    writer.record_validation(2, 0.2, ("val/miou",), (0.1,))
    writer.record_validation(9, 0.9, ("val/miou",), (0.5,))
    writer.record_validation(9, 0.9, ("val/miou",), (0.6,))
    writer.flush()
    both = read(run_dir, ["a", "val/miou"])
    assert both.steps.tolist() == [1, 2, 3, 4, 9]
    assert both.present["val/miou"].tolist() == [False, True, False, False, True]
    assert both.present["a"].tolist() == [True, True, True, True, False]
    assert both.values["val/miou"][both.present["val/miou"]].tolist() == pytest.approx([0.1, 0.6])
    assert both.epochs.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.9])
    assert read(run_dir, ["val/miou"]).steps.tolist() == [2, 9]
    with closing(JournalReader(run_dir)) as reader:
        assert reader.metric_names() == ("a", "val/miou")


def test_a_window_includes_both_ends(run_dir: Path, writer: JournalWriter) -> None:
    record(writer, range(10))
    writer.flush()
    assert read(run_dir, ["a"], first=3, last=5).steps.tolist() == [3, 4, 5]
    assert read(run_dir, ["a"], first=8).steps.tolist() == [8, 9]
    assert read(run_dir, ["a"], last=1).steps.tolist() == [0, 1]
    assert read(run_dir, ["a"], first=5, last=3).steps.size == 0
    assert read(run_dir, ["a"], first=-(2**40), last=2**40).steps.size == 10


def test_a_resumed_run_supersedes_what_came_after_its_checkpoint(run_dir: Path) -> None:
    with writing(run_dir) as writer:
        record(writer, range(1, 181))
    with writing(run_dir) as writer:
        writer.open_branch(150)
        record(writer, range(151, 161), mark=1000)
    series = read(run_dir, ["a"])
    assert series.steps.tolist() == list(range(1, 161))
    assert series.values["a"].tolist() == [*range(1, 151), *range(1151, 1161)]
    former = read(run_dir, ["a"], branch=0)
    assert former.values["a"].tolist() == list(range(1, 181))


def test_rollbacks_on_rollbacks_keep_one_lineage(run_dir: Path, writer: JournalWriter) -> None:
    record(writer, range(1, 101))
    writer.record_validation(90, 9.0, ("val/miou",), (0.9,))
    writer.open_branch(80)
    record(writer, range(81, 121), mark=1000)
    writer.open_branch(50)
    record(writer, range(51, 61), mark=2000)
    writer.open_branch(55)
    record(writer, range(56, 58), mark=3000)
    writer.flush()
    series = read(run_dir, ["a", "val/miou"])
    assert series.steps.tolist() == list(range(1, 58))
    assert series.values["a"].tolist() == [*range(1, 51), *range(2051, 2056), 3056.0, 3057.0]
    assert not series.present["val/miou"].any()
    assert read(run_dir, ["a"], branch=1).values["a"].tolist() == [*range(1, 81), *range(1081, 1121)]
    with closing(JournalReader(run_dir)) as reader:
        assert reader.lineage() == ((0, 50), (1, 50), (2, 55), (3, None))
        assert reader.newest_ids().branch == 3


def test_a_branch_from_the_start_supersedes_everything(run_dir: Path, writer: JournalWriter) -> None:
    record(writer, range(1, 11))
    writer.open_branch(0)
    writer.flush()
    assert read(run_dir, ["a"]).steps.size == 0
    assert read(run_dir, ["a"], branch=0).steps.size == 10


def test_a_branch_opened_and_left_is_numbered_on_by_the_next_writer(run_dir: Path) -> None:
    for from_step in (10, 5):
        with writing(run_dir) as writer:
            writer.open_branch(from_step)
            record(writer, [from_step + 1], mark=from_step * 100)
    assert read(run_dir, ["a"]).values["a"].tolist() == [506.0]


def test_names_from_elsewhere_are_only_names(run_dir: Path, writer: JournalWriter) -> None:
    names = ("a'; DROP TABLE steps;--", "[red]b[/red]", "c\n\x1b[31m", '"d"', "ключ")
    writer.record_step(1, 0.1, names, (1.0, 2.0, 3.0, 4.0, 5.0))
    writer.flush()
    series = read(run_dir, names)
    assert [float(values[0]) for values in series.values.values()] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_readers_see_whole_commits_while_the_writer_goes_on(run_dir: Path, writer: JournalWriter) -> None:
    done = threading.Event()
    faults: list[str] = []

    def follow() -> None:
        with closing(JournalReader(run_dir)) as reader:
            seen = 0
            while not done.is_set():
                series = reader.series(["a", "b"])
                size = series.steps.size
                if size < seen or series.steps.tolist() != list(range(size)) or not series.present["b"].all():
                    faults.append(f"{seen} then {size}")
                seen = size

    readers = [threading.Thread(target=follow) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(3000):
        writer.record_step(step, step / 10, ("a", "b") if step % 2 else ("b", "a"), (1.0, 2.0))
        if step % 100 == 0:
            assert writer.flush()
    done.set()
    for reader in readers:
        reader.join()
    assert faults == []


def test_a_damaged_file_is_named(run_dir: Path) -> None:
    with writing(run_dir) as writer:
        record(writer, range(5000))
    file = run_dir / JOURNAL_FILE
    content = bytearray(file.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    file.write_bytes(content)
    with (
        closing(JournalReader(run_dir)) as reader,
        pytest.raises(UserError, match=r"cannot read .*run\.sqlite: .*--resume continues"),
    ):
        reader.series(["a"])


def test_a_row_that_cannot_be_decoded_is_a_mistake_in_the_file(run_dir: Path, writer: JournalWriter) -> None:
    record(writer, [1, 2])
    writer.flush()
    with closing(sqlite3.connect(run_dir / JOURNAL_FILE)) as other, other:
        other.execute("UPDATE steps SET vals = x'010203' WHERE step = 2")
    with pytest.raises(UserError, match="cannot read"):
        read(run_dir, ["a"])

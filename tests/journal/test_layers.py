"""Numbers of single layers in the journal: their own table, absent where NaN, unknown to an earlier journal."""

from __future__ import annotations

import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from engine.journal.disk.schema import LAYERS
from engine.journal.reader import JournalReader
from engine.journal.store import JOURNAL_FILE
from engine.journal.task_meta import LAYERS_META, LayersMeta, layer_metric, layer_of, layers_of
from engine.journal.transaction import StepPoints
from engine.journal.writer import JournalWriter
from engine.protocol.state import RunState
from engine.runtime.recorder import RunRecorder
from engine.training.gradients.layer_values import LayerNames, LayerValues
from tests.recorded import writing

EARLIER = Path(__file__).parents[1] / "earlier"
NORM, ZEROS = layer_metric("a.b/weight", "grad_norm"), layer_metric("a", "act_zeros")


def record(writer: JournalWriter, step: int, names: tuple[str, ...], values: tuple[float, ...]) -> None:
    """Write one row of numbers of layers."""
    row = np.array([values], np.float32)
    writer.record_points(StepPoints([step], [step / 10], [0.0], names, row, LAYERS))


def test_the_name_of_a_metric_can_be_taken_apart() -> None:
    assert layer_of(NORM) == ("a.b/weight", "grad_norm")
    assert layer_of("grad_norm/total") == ("", "")


def test_a_series_of_a_layer_is_read_by_name_along_the_lineage(run_dir: Path, writer: JournalWriter) -> None:
    for step in range(1, 5):
        writer.record_step(step, 0.1, ("loss/total",), (1.0,))
    record(writer, 1, (NORM, ZEROS), (0.5, math.nan))
    record(writer, 3, (NORM, ZEROS), (math.inf, 0.25))
    writer.open_branch(2)
    record(writer, 4, (NORM, ZEROS), (7.0, 0.0))
    assert writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        assert reader.metric_names() == ("loss/total",)
        assert reader.metric_names(of_layers=True) == ("loss/total", NORM, ZEROS)
        series = reader.series((NORM, ZEROS))
    assert series.steps.tolist() == [1, 4]
    assert series.values[NORM].tolist() == [0.5, 7.0]
    assert series.present[ZEROS].tolist() == [False, True], "NaN is a number that was not measured"


def test_an_earlier_journal_has_no_layers_until_it_is_written_again(tmp_path: Path) -> None:
    run_dir = shutil.copytree(EARLIER, tmp_path / "before")
    with closing(JournalReader(run_dir)) as reader:
        assert NORM not in reader.metric_names(of_layers=True)
        assert layers_of(reader.meta(LAYERS_META)) is None
        assert not reader.series((NORM,)).present[NORM].any()
        steps = reader.series(("loss/total",)).steps.tolist()
    with writing(run_dir) as journal:
        record(journal, 7, (NORM,), (0.5,))
    with closing(JournalReader(run_dir)) as reader:
        assert reader.metric_names(of_layers=True)[-1] == NORM
        assert reader.series(("loss/total",)).steps.tolist() == steps


def test_the_recorder_describes_the_layers_once_and_a_row_takes_little_more_than_its_numbers(tmp_path: Path) -> None:
    names = LayerNames(
        tuple(f"encoder.layer{number}.weight" for number in range(500)),
        tuple(range(500)),
        tuple(f"encoder.layer{number}" for number in range(500)),
    )
    values = LayerValues(names, np.random.default_rng(0).random(2500, np.float32))
    with writing(tmp_path) as journal:
        recorder = RunRecorder(RunState("run"), journal)
        for step in range(0, 200, 50):
            recorder.layers.record(step + 1, 0.1, values, 50)
        assert journal.flush()
        with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as connection:
            before = _size(connection)
            for step in range(200, 2200, 50):
                recorder.layers.record(step + 1, 0.1, values, 50)
            assert journal.flush()
            per_row = (_size(connection) - before) / 40
            assert connection.execute("SELECT count(*) FROM layouts").fetchone() == (1,)
        with closing(JournalReader(tmp_path)) as reader:
            described = layers_of(reader.meta(LAYERS_META))
            series = reader.series([layer_metric("encoder.layer3.weight", "update_ratio")])
    assert described == LayersMeta(50, dict(zip(names.parameters, names.sizes, strict=True)))
    (ratios,) = series.values.values()
    assert ratios.tolist() == [values.values[1503]] * 44
    assert 10_000 <= per_row <= 13_000, f"{per_row:.0f} bytes a measurement of 2,500 numbers"


def _size(connection: sqlite3.Connection) -> int:
    """Return the bytes of the file in use."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size

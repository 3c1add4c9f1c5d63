"""Metrics as an overview, rows, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from cockpit.cli.metric_names import known_keys
from engine.errors import UserError
from engine.journal.task_meta import layer_metric
from engine.journal.writer import JournalWriter
from tests.cli.conftest import Call, OnceFollowed
from tests.recorded import damage_table
from tests.recorded_layers import record_layers


@pytest.fixture
def recorded(live: JournalWriter) -> JournalWriter:
    """Twenty steps: a NaN at 7, an infinity at 8, nothing but the rate at 9, a validation after 10."""
    for step in range(1, 21):
        loss = {7: math.nan, 8: math.inf}.get(step, 1 / step)
        if step == 9:
            live.record_step(step, step / 10, ("lr",), (5e-6,))
        else:
            live.record_step(step, step / 10, ("loss/total", "lr"), (loss, 5e-6))
    live.record_validation(10, 1.0, ("val/miou",), (0.25,))
    live.flush()
    return live


def test_json_has_one_array_per_key(call: Call, recorded: JournalWriter) -> None:
    code, printed = call("metrics", "--keys", "loss/total,val/miou", "--json", "--around", "8", "--window", "2")
    assert code == 0
    assert json.loads(printed, parse_constant=pytest.fail) == {
        "step": [6, 7, 8, 10],
        "loss/total": [0.16666667, "NaN", "Infinity", 0.1],
        "val/miou": [None, None, None, 0.25],
    }


def test_json_without_keys_has_all_of_them(call: Call, recorded: JournalWriter) -> None:
    found = json.loads(call("metrics", "--json")[1])
    assert list(found) == ["step", "loss/total", "lr", "val/miou"]
    assert found["step"] == list(range(1, 21))
    assert found["lr"] == [5e-6] * 20
    assert found["loss/total"][8] is None


def test_csv_leaves_absent_cells_empty(call: Call, recorded: JournalWriter) -> None:
    code, printed = call("metrics", "--csv", "--around", "9", "--window", "1")
    assert code == 0
    rows = list(csv.reader(io.StringIO(printed)))
    assert rows == [
        ["step", "loss/total", "lr", "val/miou"],
        ["8", "Infinity", "5e-06", ""],
        ["9", "", "5e-06", ""],
        ["10", "0.1", "5e-06", "0.25"],
    ]


def test_around_prints_rows(call: Call, recorded: JournalWriter) -> None:
    printed = call("metrics", "--around", "7", "--window", "1", "--keys", "loss/total")[1]
    assert [line.split() for line in printed.splitlines()] == [
        ["step", "loss/total"],
        ["6", "0.16666667"],
        ["7", "NaN"],
        ["8", "Infinity"],
    ]


def test_tail_prints_the_newest_rows(call: Call, recorded: JournalWriter) -> None:
    rows = call("metrics", "--tail", "2", "--keys", "loss/total")[1].splitlines()
    csv = call("metrics", "--tail", "2", "--keys", "loss/total", "--csv")[1].splitlines()
    whole = call("metrics", "--keys", "loss/total", "--csv")[1].splitlines()
    assert [row.split() for row in rows] == [row.split(",") for row in csv]
    assert csv == [whole[0], *whole[-2:]]
    assert call("metrics", "--tail", "99", "--keys", "loss/total", "--csv")[1].splitlines() == whole
    assert json.loads(call("metrics", "--tail", "0", "--json", "--keys", "lr")[1]) == {"step": [], "lr": []}
    with pytest.raises(UserError, match="leave one of them out"):
        call("metrics", "--tail", "2", "--around", "7")


@pytest.mark.parametrize("words", [("--window", "0"), ("--tail", "3", "--window", "2"), ("--idle-timeout", "5")])
def test_an_option_without_the_one_that_it_belongs_to_is_refused(call: Call, words: tuple[str, ...]) -> None:
    needed = "--follow" if "--idle-timeout" in words else "--around"
    with pytest.raises(UserError, match=f"has no effect without {needed}: add {needed}, or leave out {words[-2]}"):
        call("metrics", *words)


def test_around_a_step_without_neighbours_prints_the_head_only(call: Call, recorded: JournalWriter) -> None:
    assert call("metrics", "--around", "500", "--keys", "lr")[1].split() == ["step", "lr"]
    assert json.loads(call("metrics", "--around", "500", "--json", "--keys", "lr")[1]) == {"step": [], "lr": []}


def test_the_overview_counts_what_is_not_finite(call: Call, recorded: JournalWriter) -> None:
    code, printed = call("metrics")
    assert code == 0
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines()[1:]}
    assert rows == {
        "loss/total": ["0.05", "0.05", "1", "19", "2"],
        "lr": ["5e-06", "5e-06", "5e-06", "20", "0"],
        "val/miou": ["0.25", "0.25", "0.25", "1", "0"],
    }


def test_a_metric_that_is_never_finite_has_no_least_and_greatest(call: Call, live: JournalWriter) -> None:
    live.record_step(1, 0.1, ("a\x1b[31m",), (math.nan,))
    live.flush()
    assert call("metrics")[1].splitlines()[1].split() == ["a\\x1b[31m", "NaN", "-", "-", "1", "1"]


def test_a_run_without_metrics_says_so(call: Call, live: JournalWriter) -> None:
    assert call("metrics") == (0, "no metrics yet\n")
    assert json.loads(call("metrics", "--json")[1]) == {"step": []}
    assert call("metrics", "--csv")[1] == "step\n"


def test_an_unknown_key_is_named_with_the_nearest(call: Call, recorded: JournalWriter) -> None:
    with pytest.raises(UserError, match="the run 'live' has no metric 'loss/totl': did you mean 'loss/total'"):
        call("metrics", "--keys", "loss/totl")
    with pytest.raises(UserError, match="--keys names no metric: give some of loss/total, lr, val/miou"):
        call("metrics", "--keys", ",")


def test_the_names_that_there_are_do_not_list_every_layer() -> None:
    layers = [f"layer/unet.{number}.weight/grad_norm" for number in range(900)]
    with pytest.raises(UserError) as raised:
        known_keys(["speed"], ["lr", *layers, "loss/total"], "mine")
    told = "there are loss/total, lr, 900 of layers (layer/NAME/grad_norm, ...)"
    assert str(raised.value) == f"the run 'mine' has no metric 'speed': {told}"
    with pytest.raises(UserError, match=r"there are loss/total, lr$"):
        known_keys(["speed"], ["lr", "loss/total", "lr"], "mine")


def test_superseded_rows_are_left_out(call: Call, recorded: JournalWriter) -> None:
    recorded.open_branch(2)
    recorded.record_step(3, 0.3, ("loss/total",), (9.0,))
    recorded.flush()
    found = json.loads(call("metrics", "--keys", "loss/total", "--json")[1])
    assert found == {"step": [1, 2, 3], "loss/total": [1.0, 0.5, 9.0]}


def test_a_number_reads_back_as_the_float32_that_was_kept(call: Call, live: JournalWriter) -> None:
    values = (1e-45, 3.4028235e38, 0.1, -0.0, 16777216.0)
    live.record_step(1, 0.1, tuple("abcde"), values)
    live.flush()
    found = json.loads(call("metrics", "--json")[1])
    assert [found[name][0] for name in "abcde"] == [1e-45, 3.4028235e38, 0.1, 0.0, 16777216.0]


def test_a_finished_run_reads_the_same(call: Call, runs_dir: Path, recorded: JournalWriter) -> None:
    before = call("metrics", "--json")
    recorded.close()
    assert call("metrics", "--json") == before


def _lines(printed: str) -> list[dict[str, object]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in printed.splitlines()]


def test_following_a_run_that_is_over_prints_every_row_and_ends(call: Call, recorded: JournalWriter) -> None:
    recorded.close()
    code, printed = call("metrics", "live", "--follow", "--json")
    rows = _lines(printed)
    assert code == 0
    assert [row["step"] for row in rows if row["kind"] == "step"] == list(range(1, 21))
    assert rows[6] == {"kind": "step", "step": 7, "loss/total": "NaN", "lr": 5e-6}
    assert rows[8] == {"kind": "step", "step": 9, "lr": 5e-6}
    assert rows[10] == {"kind": "validation", "step": 10, "val/miou": 0.25}


def test_following_prints_only_what_is_asked(call: Call, recorded: JournalWriter) -> None:
    recorded.close()
    _, printed = call("metrics", "live", "--follow", "--json", "--keys", "loss/total,val/miou", "--tail", "12")
    rows = _lines(printed)
    assert [row["step"] for row in rows] == [10, 10, *range(11, 21)]  # step 9 has none of them
    assert rows[:2] == [
        {"kind": "step", "step": 10, "loss/total": 0.1},
        {"kind": "validation", "step": 10, "val/miou": 0.25},
    ]
    assert call("metrics", "live", "--follow", "--tail", "1") == (0, "step 20  loss/total 0.05  lr 5e-06\n")


def test_following_refuses_what_it_cannot_print(call: Call, recorded: JournalWriter) -> None:
    with pytest.raises(UserError, match="no metric 'loss/totl': did you mean 'loss/total'"):
        call("metrics", "live", "--follow", "--keys", "loss/totl")
    for words in (("--csv",), ("--around", "3")):
        with pytest.raises(UserError, match="leave out --csv and --around"):
            call("metrics", "live", "--follow", *words)


def test_following_ends_after_a_time_without_news(call: Call, recorded: JournalWriter) -> None:
    code, printed = call("metrics", "live", "--follow", "--json", "--tail", "1", "--idle-timeout", "0.1")
    assert (code, _lines(printed)) == (3, [{"kind": "step", "step": 20, "loss/total": 0.05, "lr": 5e-6}])


def test_following_an_ended_run_with_damaged_rows_is_one_sentence(
    call: Call, runs_dir: Path, recorded: JournalWriter
) -> None:
    recorded.close()
    damage_table(runs_dir / "live", "steps")
    with pytest.raises(UserError, match="malformed; move it out of the run's directory"):
        call("metrics", "live", "--follow", "--json")


def test_following_a_journal_that_no_process_mends_ends(
    call: Call, runs_dir: Path, recorded: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cockpit.session.session._HALF_MADE_SECONDS", 0)
    monkeypatch.setattr("cockpit.cli.followed_run._PATIENCE", 0)
    recorded.close()
    damage_table(runs_dir / "live", "sessions")
    with pytest.raises(UserError, match="malformed; move it out of the run's directory"):
        call("metrics", "live", "--follow", "--json")


def test_following_goes_on_with_a_run_that_goes_back(
    call: Call, recorded: JournalWriter, once_followed: OnceFollowed
) -> None:
    def train() -> None:
        recorded.open_branch(18)
        for step in (19, 20, 21):
            recorded.record_step(step, step / 10, ("loss/total",), (2.0,))
        recorded.close()

    once_followed(train)
    _, printed = call("metrics", "live", "--follow", "--json", "--tail", "1", "--keys", "loss/total")
    assert [(row["step"], row["loss/total"]) for row in _lines(printed)] == [
        (20, 0.05),
        (19, 2.0),
        (20, 2.0),
        (21, 2.0),
    ]


def test_a_closed_pipe_ends_the_following_quietly(runs_dir: Path, recorded: JournalWriter) -> None:
    source = "import sys; from main import main; sys.exit(main(sys.argv[1:]))"
    words = ["metrics", "live", "--runs-dir", str(runs_dir), "--follow", "--json", "--tail", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", source, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None and program.stderr is not None
        assert json.loads(program.stdout.readline())["step"] == 20
        program.stdout.close()  # no new step comes: the program finds out by itself
        assert program.stderr.read() == ""
        assert program.wait(timeout=60) == 0


def test_the_numbers_of_a_layer_are_printed_if_they_are_named(call: Call, recorded: JournalWriter) -> None:
    record_layers(recorded, 100)
    recorded.flush()
    dead, frozen = layer_metric("decoder.relu", "act_zeros"), layer_metric("frozen.weight", "grad_norm")
    assert dead not in json.loads(call("metrics", "--json")[1])
    found = json.loads(call("metrics", "--keys", f"{dead},{frozen},lr", "--json", "--around", "1", "--window", "60")[1])
    rows = {step: value for step, value in zip(found["step"], found[dead], strict=True) if value is not None}
    assert rows == {1: 1.0, 51: 1.0} and found["lr"][0] == 5e-6
    assert set(found[frozen]) == {None}, "a frozen parameter has no gradient"
    recorded.close()
    rows = _lines(call("metrics", "--follow", "--json", "--keys", f"{dead},{frozen}")[1])
    assert rows == [{"kind": "layers", "step": step, dead: 1.0} for step in (1, 51)]
    assert call("plot", "live", "--keys", dead)[0] == 0
    with pytest.raises(UserError, match=r"did you mean 'layer/decoder\.relu/act_zeros'"):
        call("metrics", "--keys", "layer/decoder.relu/act_zero")

"""The repetitions of one step in several processes, of which rank 0 records one."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from torch.distributed import HashStore, distributed_c10d

from engine.adapters.ranks import rank_replays, rank_words
from engine.adapters.ranks.rank_replays import GatheredReplay, ReplayReports, first_fault, share_due
from engine.adapters.ranks.rank_words import RankWords
from engine.outputs.fault_report import NOT_REPLAYED, REPRODUCED, VANISHED, Fault
from engine.outputs.fault_text import sentence

LOG = Fault(REPRODUCED, "forward", "head", "log")
SQRT = Fault(REPRODUCED, "backward", "body", "sqrt")
WELL = Fault(VANISHED, detail="it was finite")
BROKEN = Fault(NOT_REPLAYED, detail="the repetition took more than 60 s")


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> list[RankWords]:
    store = HashStore()
    monkeypatch.setattr(distributed_c10d, "_get_default_store", lambda: store)
    made: list[RankWords] = []
    for rank in range(3):
        monkeypatch.setattr(rank_words, "_count", 0)
        made.append(RankWords(rank, 3))
    return made


def repetition(*results: Fault | None) -> Any:
    """Return a repetition of step 7 that has the results, one after the other."""
    left = list(results)
    ended: list[bool] = []
    return SimpleNamespace(
        step=7, started=time.monotonic(), result=lambda: left.pop(0), abandon=lambda: ended.append(True), ended=ended
    )


@pytest.mark.parametrize(
    ("found", "fault", "rank"),
    [
        ((WELL, LOG, WELL), LOG, 1),
        ((WELL, LOG, SQRT), LOG, 1),
        ((LOG, LOG, SQRT), LOG, 0),
        ((LOG, LOG, LOG), LOG, None),
        ((BROKEN, WELL, SQRT), SQRT, 2),
        ((WELL, BROKEN, WELL), BROKEN, 1),
        ((WELL, WELL, None), Fault(NOT_REPLAYED, detail="its repetition gave no result"), 2),
        ((LOG, LOG, None), LOG, 0),
    ],
)
def test_the_first_rank_in_which_the_fault_came_again_is_named(
    found: tuple[Fault | None, ...], fault: Fault, rank: int | None
) -> None:
    named = first_fault({rank: one for rank, one in enumerate(found) if one is not None}, 3)
    assert named.rank == rank and named.place() == fault.place() and named.detail == fault.detail
    assert (f" on rank {rank}" in sentence(named)) is (rank is not None)


def test_a_step_that_is_finite_in_all_has_vanished() -> None:
    named = first_fault({0: WELL, 1: WELL, 2: WELL}, 3)
    assert (named.verdict, named.rank) == (VANISHED, None) and "in all 3 processes" in named.detail


def test_rank_0_gathers_what_the_others_report_while_they_train_on(ranks: list[RankWords]) -> None:
    gathered = GatheredReplay(repetition(None, WELL), ranks[0], 4)
    assert gathered.step == 7 and gathered.result() is None
    assert gathered.result() is None, "the others have not reported"
    for rank, results in ((1, (None, WELL)), (2, (SQRT,))):
        reports = ReplayReports(ranks[rank])
        reports.add(repetition(*results), 4)
        reports.end()
    named = gathered.result()
    assert named is not None and (named.operation, named.rank) == ("sqrt", 2)
    assert not ranks[0].taken("finding 4 2"), "it is removed when it is read"


def test_a_process_that_does_not_report_is_not_waited_for_for_ever(
    ranks: list[RankWords], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks[1].leave("finding 4 1", "no JSON")
    monkeypatch.setattr(rank_replays, "_SECONDS", 0.0)
    own = repetition(WELL)
    gathered = GatheredReplay(own, ranks[0], 4)
    named = gathered.result()
    assert named is not None and (named.verdict, named.rank) == (NOT_REPLAYED, 1) and "cannot be read" in named.detail
    gathered.abandon()
    assert not own.ended, "it has ended by itself"


def test_all_repeat_a_step_only_if_rank_0_says_so(ranks: list[RankWords], monkeypatch: pytest.MonkeyPatch) -> None:
    for is_due in (True, False, True):
        heard: list[bool] = []
        others = [
            threading.Thread(target=lambda one=one: heard.append(share_due(one, is_due=not is_due)))  # noqa: B023
            for one in ranks[1:]
        ]
        for thread in others:
            thread.start()
        assert share_due(ranks[0], is_due=is_due) is is_due
        for thread in others:
            thread.join()
        assert heard == [is_due, is_due]
        assert len({one.boundary for one in ranks}) == 1
        for one in ranks:
            one.open_next()
    monkeypatch.setattr(rank_replays, "_DUE_SECONDS", 0.01)
    assert share_due(ranks[1], is_due=True) is False

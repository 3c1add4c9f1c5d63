"""Checkpoints: complete or absent, verified, and the newest intact one is found."""

from __future__ import annotations

import datetime
import hashlib
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from engine.training.checkpoint.checksum import checksum_path
from engine.training.checkpoint.file import (
    BEST,
    LAST_GOOD,
    CheckpointDamagedError,
    Snapshot,
    checkpoint_name,
    list_checkpoints,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from engine.training.checkpoint.retention import prune, set_aside
from engine.training.checkpoint.values import copy_to_host
from engine.training.checkpoint.writer import CheckpointWriter


def _snapshot(step: int, *, good: bool = False, best: bool = False, kind: str = "step") -> Snapshot:
    payload = {"step": step, "model": {"weight": torch.full((100,), float(step))}}
    return Snapshot(step=step, kind=kind, payload=payload, loss=1.0, score=None, good=good, best=best)


def _saved(directory: Path, *steps: int) -> list[Path]:
    return [save_checkpoint(directory, _snapshot(step)) for step in steps]


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    (path,) = _saved(tmp_path, 7)
    payload = load_checkpoint(path)
    assert payload["step"] == 7
    assert torch.equal(payload["model"]["weight"], torch.full((100,), 7.0))


def test_the_shapes_of_a_file_are_looked_at_once_and_not_if_this_process_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[str] = []
    load = torch.load

    def recorded(path: Path, **options: object) -> object:
        devices.append(str(options["map_location"]))
        return load(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "load", recorded)
    (own,) = _saved(tmp_path, 7)
    load_checkpoint(own)
    assert devices == ["cpu"]
    foreign = tmp_path / "foreign.pt"
    torch.save({"format": 1, "model": {"weight": torch.ones(3)}}, foreign)
    checksum_path(foreign).write_text(hashlib.sha256(foreign.read_bytes()).hexdigest())
    load_checkpoint(foreign)
    load_checkpoint(foreign)
    assert devices == ["cpu", "meta", "cpu", "cpu"]
    read_checkpoint(own)
    assert devices[4:] == ["meta", "cpu"], "without a checksum nothing is known of a file"


def test_the_checksum_beside_it_is_what_sha256sum_checks(tmp_path: Path) -> None:
    (path,) = _saved(tmp_path, 7)
    digest, name = checksum_path(path).read_text().split()
    assert name == path.name and len(digest) == 64


def test_nothing_partial_is_left_beside_it(tmp_path: Path) -> None:
    _saved(tmp_path, 1, 2)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".pt", ".pt", ".sha256", ".sha256"]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _lose_the_checksum(path: Path) -> None:
    checksum_path(path).unlink()


def _empty_the_checksum(path: Path) -> None:
    checksum_path(path).write_text("")


@pytest.mark.parametrize("damage", [_truncate, _flip_a_bit, _lose_the_checksum, _empty_the_checksum])
def test_a_damaged_checkpoint_is_not_loaded_and_is_named(tmp_path: Path, damage) -> None:
    (path,) = _saved(tmp_path, 10)
    damage(path)
    with pytest.raises(CheckpointDamagedError, match=path.name):
        load_checkpoint(path)


class _Bomb:
    def __reduce__(self):
        return (Path("exploded").write_text, ("boom",))


def test_a_pickle_bomb_is_refused_and_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "model": _Bomb()}, tmp_path / "bomb.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(_Bomb()))
    for name in ("bomb.pt", "plain.pt"):
        with pytest.raises(CheckpointDamagedError, match=name):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def test_a_foreign_file_is_named_as_such(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "foreign.pt")
    with zipfile.ZipFile(tmp_path / "archive.pt", "w") as archive:
        archive.writestr("readme", "hello")
    for name in ("foreign.pt", "archive.pt"):
        with pytest.raises(CheckpointDamagedError, match=name):
            read_checkpoint(tmp_path / name)


def test_pruning_keeps_the_newest_and_those_that_best_and_last_good_name(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _snapshot(1, best=True))
    save_checkpoint(tmp_path, _snapshot(2, good=True))
    _saved(tmp_path, 3, 4, 5, 6)
    prune(tmp_path, keep_last=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == [checkpoint_name(n) for n in (1, 2, 5, 6)]
    assert load_checkpoint(tmp_path / BEST)["step"] == 1
    assert load_checkpoint(tmp_path / LAST_GOOD)["step"] == 2


@pytest.mark.parametrize("kind", ["asked", "promotion"])
def test_a_checkpoint_that_was_asked_for_or_precedes_a_promotion_is_never_pruned(tmp_path: Path, kind: str) -> None:
    save_checkpoint(tmp_path, _snapshot(1, kind=kind))
    _saved(tmp_path, 2, 3, 4)
    prune(tmp_path, keep_last=1)
    assert [p.name for p in list_checkpoints(tmp_path)] == [checkpoint_name(1), checkpoint_name(4)]


def test_a_better_best_lets_the_former_one_go(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _snapshot(1, best=True))
    save_checkpoint(tmp_path, _snapshot(2, best=True))
    _saved(tmp_path, 3)
    prune(tmp_path, keep_last=1)
    assert [p.name for p in list_checkpoints(tmp_path)] == [checkpoint_name(2), checkpoint_name(3)]


def test_a_rollback_takes_later_checkpoints_out_of_a_resumes_way_without_deleting_them(tmp_path: Path) -> None:
    _saved(tmp_path, 1, 2, 3)
    set_aside(tmp_path, after_step=1)
    assert [p.name for p in list_checkpoints(tmp_path)] == [checkpoint_name(1)]
    assert load_checkpoint(tmp_path / "superseded" / checkpoint_name(3))["step"] == 3


class _KilledError(BaseException):
    """Acts as SIGKILL: nothing after it reaches the disk, the cleaning up included."""


def _killed_at(number: int, act: Callable[[], object]) -> bool:
    """Call `act`, of which only the first `number` changes of the disk are made. Return whether there were more."""
    left = [number]

    def counted(change: Callable[..., object]) -> Callable[..., object]:
        def changed(*args: object, **options: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise _KilledError
            return change(*args, **options)

        return changed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", counted(lambda handle: None))
        for name in ("replace", "unlink", "link", "mkdir"):
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            act()
        except _KilledError:
            return True
    return False


def _content(path: Path) -> float:
    return float(load_checkpoint(path)["model"]["weight"][0])


def _again(value: float) -> Snapshot:
    """Return a checkpoint of step 5 with other weights than before, as after a rollback or a resume."""
    return replace(_snapshot(5, best=True, good=True), payload={"step": 5, "model": {"weight": torch.tensor([value])}})


@pytest.mark.parametrize("has_hard_links", [True, False])
def test_a_checkpoint_that_is_written_again_is_the_old_or_the_new_one_wherever_a_kill_comes(
    tmp_path: Path, has_hard_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_hard_links:
        monkeypatch.setattr(os, "link", _without_links)
    before = tmp_path / "before"
    save_checkpoint(before, _again(0.0))
    names = (checkpoint_name(5), BEST, LAST_GOOD)
    seen: set[tuple[float, ...]] = set()
    number, was_killed = 0, True
    while was_killed:
        directory = tmp_path / f"killed-{number}"
        shutil.copytree(before, directory)
        was_killed = _killed_at(number, lambda: save_checkpoint(directory, _again(1.0)))  # noqa: B023
        seen.add(tuple(_content(directory / name) for name in names))
        if has_hard_links:  # the next one begins with what the kill has left, and is killed too
            _killed_at(3, lambda: save_checkpoint(directory, _again(2.0)))  # noqa: B023
            assert {_content(directory / name) for name in names} <= {0.0, 1.0}
        save_checkpoint(directory, _again(3.0))
        assert {_content(directory / name) for name in names} == {3.0}
        number += 1
    assert seen == {(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (1.0, 1.0, 1.0)}


def _without_links(*_: object) -> None:
    raise OSError("this disk has no hard links")


def test_a_checkpoint_that_a_rollback_sets_aside_verifies_in_either_place_wherever_a_kill_comes(tmp_path: Path) -> None:
    before = tmp_path / "before"
    _saved(before, 1)
    save_checkpoint(before, _again(0.0))
    set_aside(before, after_step=1)
    save_checkpoint(before, _again(1.0))
    aside = Path("superseded") / checkpoint_name(5)
    number, was_killed = 0, True
    while was_killed:
        directory = tmp_path / f"killed-{number}"
        shutil.copytree(before, directory)
        was_killed = _killed_at(number, lambda: set_aside(directory, after_step=1))  # noqa: B023
        here = directory / checkpoint_name(5)
        assert (_content(here), _content(directory / aside)) == (1.0, 0.0) if here.exists() else True
        set_aside(directory, after_step=1)
        assert _content(directory / aside) == 1.0 and not here.exists()
        number += 1
    assert number > 3


def test_pruning_keeps_what_the_best_one_names_after_a_kill_in_the_midst_of_its_replacement(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _snapshot(1, best=True))
    number = 0
    while _content(tmp_path / BEST) == 1:
        _killed_at(number, lambda: save_checkpoint(tmp_path, _snapshot(2, best=True)))
        number += 1
    assert (
        checksum_path(tmp_path / BEST).read_text().split()[0]
        != hashlib.sha256((tmp_path / BEST).read_bytes()).hexdigest()
    ), "killed between the two renames"
    _saved(tmp_path, 3)
    prune(tmp_path, keep_last=1)
    assert checkpoint_name(2) in [path.name for path in list_checkpoints(tmp_path)]
    save_checkpoint(tmp_path, _snapshot(4, best=True))
    prune(tmp_path, keep_last=1)
    assert [path.name for path in list_checkpoints(tmp_path)] == [checkpoint_name(4)]


def test_copies_share_no_memory_with_training() -> None:
    live = {"a": [torch.zeros(3)], "b": (torch.ones(2), 5)}
    copied = copy_to_host(live)
    live["a"][0].fill_(9)
    assert copied["a"][0].sum() == 0 and copied["b"][1] == 5


class _Pair(NamedTuple):
    left: int
    right: int


def test_numbers_of_numpy_and_named_tuples_can_be_read_again(tmp_path: Path) -> None:
    state = {"lr": np.float64(0.5), "steps": np.int64(3), "betas": _Pair(1, 2), "is_on": np.bool_(True)}
    snapshot = _snapshot(1)
    payload = {**snapshot.payload, "stateful": copy_to_host(state)}
    path = save_checkpoint(tmp_path, replace(snapshot, payload=payload))
    assert load_checkpoint(path)["stateful"] == {"lr": 0.5, "steps": 3, "betas": (1, 2), "is_on": True}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (datetime.datetime(2026, 1, 1), "datetime"),
        (np.arange(3), "ndarray"),
        (lambda: None, "function"),
        (torch.ones(2, dtype=torch.complex64), "complex"),
        ({"deep": [{1: frozenset("a")}]}, "frozenset"),
        ({_Pair(1, 2): 1}, "_Pair"),
    ],
)
def test_what_could_not_be_read_again_is_not_written_and_named(tmp_path: Path, value: object, kind: str) -> None:
    snapshot = _snapshot(1)
    with pytest.raises(TypeError, match=rf"stateful\.loader.*{kind}|key of stateful\.loader.*{kind}"):
        save_checkpoint(tmp_path, replace(snapshot, payload={**snapshot.payload, "stateful": {"loader": value}}))
    assert not list_checkpoints(tmp_path)


def test_every_error_of_a_write_is_reported_and_the_writer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = CheckpointWriter(tmp_path, keep_last=1, before_rename=lambda: None)
    snapshot = _snapshot(1)
    writer.submit(replace(snapshot, payload={**snapshot.payload, "loader": lambda: None}))
    (unstorable,) = writer.wait()
    assert "loader is of the type function" in unstorable.error
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", _without_memory)
        writer.submit(_snapshot(2))
        (failed,) = writer.wait()
    assert "MemoryError" in failed.error
    writer.submit(_snapshot(3, best=True))
    (saved,) = writer.close()
    assert not saved.error


def _without_memory(*_: object) -> None:
    raise MemoryError("no more")


def test_an_empty_checksum_file_of_the_best_checkpoint_does_not_end_the_writer(tmp_path: Path) -> None:
    _saved(tmp_path, 1, 2)
    checksum_path(tmp_path / BEST).write_text("")
    writer = CheckpointWriter(tmp_path, keep_last=1, before_rename=lambda: None)
    writer.submit(_snapshot(3))
    (written,) = writer.close()
    assert not written.error and checkpoint_name(3) in written.left


def test_the_writer_saves_in_order_prunes_and_commits_the_journal_first(tmp_path: Path) -> None:
    committed: list[int] = []
    writer = CheckpointWriter(
        tmp_path, keep_last=2, before_rename=lambda: committed.append(len(list_checkpoints(tmp_path)))
    )
    for step in (1, 2, 3):
        writer.submit(_snapshot(step))
    written = writer.close()
    assert [w.name for w in written] == [checkpoint_name(n) for n in (1, 2, 3)]
    assert committed == [0, 1, 2]
    assert [p.name for p in list_checkpoints(tmp_path)] == [checkpoint_name(2), checkpoint_name(3)]


def test_a_disk_that_refuses_is_reported_and_the_writer_goes_on(tmp_path: Path) -> None:
    target = tmp_path / "checkpoints"
    target.write_text("a file where the directory should be")
    writer = CheckpointWriter(target, keep_last=2, before_rename=lambda: None)
    writer.submit(_snapshot(1))
    (failed,) = writer.wait()
    assert failed.error
    target.unlink()
    writer.submit(_snapshot(2))
    (saved,) = writer.close()
    assert not saved.error

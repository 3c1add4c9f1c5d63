"""Intact checkpoints that do not fit: skipped at a resume, refused as initial weights."""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol import events as e
from engine.training.checkpoint.checksum import checksum_path
from engine.training.checkpoint.content import CheckpointMisfitError, load_resumable, newest_resumable
from engine.training.checkpoint.file import CheckpointDamagedError, list_checkpoints, read_checkpoint
from tests.ddp.ranks import tiny_config
from tests.faulty import entries, run
from tests.small import small_config

CONFIG = small_config(training={"max_steps": 2})
TINY = tiny_config(training={"batch_size": 11, "max_steps": 2})
"""A network of six tensors: reading the hundreds of the other would take most of the time of a test of a field."""
Odd = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps, with checkpoints before the first and after the last."""
    directory = tmp_path_factory.mktemp("content") / "begun"
    assert run(directory, CONFIG) == 0
    return directory


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of the tiny network."""
    directory = tmp_path_factory.mktemp("content") / "tiny"
    assert run(directory, TINY) == 0
    return directory


@cache
def _loaded(content: bytes) -> dict[str, Any]:
    """Return the payload of a checkpoint: of its hundreds of tensors a copy takes less time than reading them."""
    return torch.load(io.BytesIO(content), weights_only=True)


def _rewrite(path: Path, odd: Odd) -> None:
    """Change the content of the checkpoint at `path`, with a checksum that fits."""
    payload = deepcopy(_loaded(path.read_bytes()))
    odd(payload)
    torch.save(payload, path)
    checksum_path(path).write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")


def _first(payload: dict[str, Any]) -> tuple[str, torch.Tensor]:
    return next(iter(payload["model"].items()))


def _each_weight(change: Callable[[torch.Tensor], object]) -> Odd:
    def odd(payload: dict[str, Any]) -> None:
        payload["model"] = {name: change(value) for name, value in payload["model"].items()}

    return odd


def _set(**fields: object) -> Odd:
    return lambda payload: payload.update(fields)


class _Claim:
    """A tensor that says it has 10^11 numbers, of which 4 are there."""

    def __reduce__(self) -> tuple[object, ...]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the class that files name is deprecated
            storage = torch.storage.TypedStorage(wrap_storage=torch.zeros(4).untyped_storage(), dtype=torch.float32)
        return torch._utils._rebuild_tensor_v2, (storage, 0, (10**11,), (1,), False, OrderedDict())


def _nested(depth: int) -> list[object]:
    held: list[object] = []
    for _ in range(depth):
        held = [held, held]
    return held


FIELDS = ("step", "state", "config", "validation_due", "books", "good", "model", "moments", "scaler", "rng", "position")

ODD: dict[str, Odd] = {
    **{f"without {field}": lambda payload, field=field: payload.pop(field) for field in FIELDS},
    **{f"{field} is None": lambda payload, field=field: payload.update({field: None}) for field in FIELDS},
    **{f"{field} is a tensor": lambda payload, field=field: payload.update({field: torch.ones(3)}) for field in FIELDS},
    "the format is a tensor": _set(format=torch.ones(2)),
    "the model is a list": _set(model=[1, 2]),
    "the model is text": _set(model="weights"),
    "the model is empty": _set(model={}),
    "the model holds numbers": _set(model={"a": 1.0}),
    "a name is a number": lambda payload: payload["model"].update({3: torch.ones(1)}),
    "a sparse weight": _each_weight(lambda value: value.flatten().to_sparse()),
    "complex weights": _each_weight(lambda value: value.to(torch.complex64)),
    "quantized weights": _each_weight(lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)),
    "a nested weight": lambda payload: payload["model"].update(
        {_first(payload)[0]: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}
    ),
    "8-bit floats for weights": _each_weight(lambda value: value.to(torch.float8_e4m3fn)),
    "a tuple for a model": lambda payload: payload.update(model=tuple(payload["model"].values())),
    "a model in a model": lambda payload: payload.update(model={"model": payload["model"]}),
    "a weight that is None": lambda payload: payload["model"].update({_first(payload)[0]: None}),
    "whole numbers for weights": _each_weight(lambda value: value.to(torch.int32)),
    "doubles for weights": _each_weight(lambda value: value.double()),
    "meta weights": _each_weight(lambda value: value.to("meta")),
    "an expanded weight": lambda payload: payload["model"].update({_first(payload)[0]: torch.zeros(1).expand(10**9)}),
    "a weight that claims more than there is": lambda payload: payload["model"].update({_first(payload)[0]: _Claim()}),
    "another shape": lambda payload: payload["model"].update({_first(payload)[0]: torch.zeros(3)}),
    "a weight too many": lambda payload: payload["model"].update(extra=torch.zeros(3)),
    "a weight too few": lambda payload: payload["model"].pop(_first(payload)[0]),
    "deeply nested": _set(extra=_nested(300), position=None),
    "NaN in what is called good": lambda payload: (
        _first(payload)[1].fill_(math.nan),
        payload.update(good=True),
    ),
    "a moment of another shape": lambda payload: next(iter(payload["moments"].values())).update(exp_avg=torch.ones(2)),
    "a moment that is missing": lambda payload: next(iter(payload["moments"].values())).pop("step"),
    "moments of nothing": lambda payload: payload["moments"].update(nothing={}),
    "a negative position": _set(position=[-1, 0]),
    "a position of fractions": _set(position=[0.5, 1]),
    "another step": _set(step=3),
    "a step of 400 digits": _set(step=10**400),
    "a step that is true": _set(step=True),
    "random bytes too few": lambda payload: payload["rng"].update(cpu=torch.zeros(3, dtype=torch.uint8)),
    "random bytes of floats": lambda payload: payload["rng"].update(cpu=torch.zeros(5056)),
    "no random state of NumPy": lambda payload: payload["rng"].pop("numpy"),
    "a random state of NumPy that is short": lambda payload: payload["rng"]["numpy"].pop(),
    "a random state of NumPy of numbers": lambda payload: payload["rng"].update(numpy=["MT19937", 1, 2, 3, 4.0]),
    "a random state of Python of one number": lambda payload: payload["rng"].update(python=[3, [1], None]),
    "a random state of Python of negative numbers": lambda payload: payload["rng"].update(python=[3, [-1] * 625, None]),
    "a state that is no JSON": _set(state="{"),
    "a state of another kind": _set(state="[1]"),
    **{
        f"a state with {name} {value}": lambda payload, name=name, value=value: payload.update(
            state=json.dumps({**json.loads(payload["state"]), name: value})
        )
        for name in ("lr_scale", "gradient_clip")
        for value in ("NaN", -1.0, 1e40)
    },
    "books that are no JSON": _set(books="books"),
    "books of another kind": _set(books='{"losses": ["a"]}'),
    "a config of aliases": _set(config="a: &a [1]\nb: *a\n"),
    "a config that is a list": _set(config="[1]"),
    "a config without sections": _set(config="training:\n  epochs: 1\n"),
    "a scaler of text": _set(scaler={"scale": "a"}),
    "zclip of two numbers": _set(zclip=torch.ones(2)),
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("what", ODD)
def test_a_checkpoint_that_is_whole_but_odd_is_passed_over_for_the_one_before(
    tiny: Path, tmp_path: Path, what: str
) -> None:
    shutil.copytree(tiny / CHECKPOINTS, tmp_path / CHECKPOINTS)
    *_, before, newest = list_checkpoints(tmp_path / CHECKPOINTS)
    _rewrite(newest, ODD[what])
    passed_over: list[str] = []
    payload = newest_resumable(tmp_path / CHECKPOINTS, TINY, lambda name, error: passed_over.append(f"{name}\n{error}"))
    assert before.name.endswith(f"{payload['step']:08d}.pt")
    (said,) = passed_over
    name, *sentences = said.split("\n")
    assert name == newest.name and len(sentences) == 1 and name in sentences[0]


def test_a_resume_says_what_it_passed_over_and_goes_on(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun, tmp_path / "run")
    newest = list_checkpoints(tmp_path / "run" / CHECKPOINTS)[-1]
    _rewrite(newest, _set(books=3))
    assert run(tmp_path / "run", small_config(training={"max_steps": 8}), resume=True) == 0
    (event,) = entries(tmp_path / "run", e.CheckpointDamaged)
    assert newest.name in repr(event.event) and "books" in repr(event.event)


def test_checkpoints_of_another_network_are_one_sentence_and_not_called_damaged(begun: Path) -> None:
    wider = small_config(model={"unet_width": 8})
    with pytest.raises(UserError, match=r"does not fit the configured network.*resume with the model keys"):
        newest_resumable(begun / CHECKPOINTS, wider)


def test_looking_at_a_checkpoint_draws_no_random_number(begun: Path) -> None:
    before = torch.get_rng_state()
    load_resumable(list_checkpoints(begun / CHECKPOINTS)[-1], CONFIG)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_that_differs_is_told_from_a_damaged_file(begun: Path) -> None:
    with pytest.raises(CheckpointMisfitError, match="there and"):
        load_resumable(list_checkpoints(begun / CHECKPOINTS)[-1], small_config(model={"extractor_widths": (8, 4)}))


NO_BEGINNING = [
    "the model is a list",
    "the model is text",
    "the model is empty",
    "a sparse weight",
    "complex weights",
    "quantized weights",
    "a nested weight",
    "8-bit floats for weights",
    "a tuple for a model",
    "a model in a model",
    "a weight that is None",
    "whole numbers for weights",
    "an expanded weight",
    "a weight that claims more than there is",
]


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("what", NO_BEGINNING)
def test_no_run_is_begun_from_weights_that_are_none(tiny: Path, tmp_path: Path, what: str) -> None:
    weights = Path(shutil.copy(tiny / CHECKPOINTS / "best.pt", tmp_path / "weights.pt"))
    _rewrite(weights, ODD[what])
    with pytest.raises(UserError, match=r"weights\.pt") as caught:
        run(tmp_path / "fresh", TINY, init_from=str(weights))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_no_run_is_begun_from_weights_that_are_not_finite(begun: Path, tmp_path: Path) -> None:
    weights = Path(shutil.copy(begun / CHECKPOINTS / "best.pt", tmp_path / "weights.pt"))
    _rewrite(weights, lambda payload: _first(payload)[1].fill_(math.inf))
    with pytest.raises(UserError, match="holds no finite floating-point numbers"):
        run(tmp_path / "fresh", small_config(), init_from=str(weights))


def test_a_compressed_archive_that_unfolds_is_refused_unread(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data/0", bytes(1_000_000))
    with pytest.raises(CheckpointDamagedError, match="compressed"):
        read_checkpoint(tmp_path / "bomb.pt")

"""Whatever happens to a COCO file, reading it ends in people and named problems, never in a traceback."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.task import UnusableSample
from engine.tasks.person.data.readers.index import index_dataset
from tests.tasks.person.data.builders import document, gradient, image_entry, person

NUM_MUTATIONS = 800
ODD: list[Callable[[], Any]] = [
    lambda: None, lambda: True, lambda: False, lambda: 0, lambda: -1, lambda: 1.5, lambda: float("nan"),
    lambda: float("inf"), lambda: int("9" * 400), lambda: -int("9" * 400), lambda: 2**31, lambda: 2**64, lambda: 1e308,
    lambda: "", lambda: "0", lambda: "1", lambda: "person", lambda: "\0", lambda: "\ud800", lambda: "x" * 5000,
    lambda: "../" * 50, lambda: "b'abc'", lambda: "[[1, 2", lambda: [], lambda: {}, lambda: [[]], lambda: [None],
    lambda: [[1, 2], [3, 4], [5, 6]], lambda: {"size": [20, 24], "counts": [480]},
    lambda: {"size": [20, 24], "counts": "`" * 300}, lambda: {"size": [10**9, 10**9], "counts": [10**18]},
    lambda: [{"size": [20, 24], "counts": [100, 380]}] * 2, lambda: ["1", "2", "3", "4", "5", "6"],
    lambda: [1, 1, 20, 1, 20, 18], lambda: [[1e300, 1, 20, 1, 20, 18]], lambda: {"x": 1, "y": 2}, lambda: [0, 0, 0, 0],
    lambda: [-5, -5, 500, 500], lambda: [5, 5, 18, 18], lambda: "train2017/a.png", lambda: "C:\\a.png",
]  # fmt: skip


def small_document() -> dict[str, Any]:
    run_lengths = {"size": [20, 24], "counts": [100, 10, 10, 10, 350]}
    images = [image_entry(number, f"{number}.png", 24, 20) for number in (1, 2, 3)]
    people = [person(n, n % 3 + 1, (2, 2, 20, 19)) for n in range(5)]
    return document(images, [*people, person(9, 3, (5, 0, 8, 20), segmentation=run_lengths, iscrowd=0)])


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in the value."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [place for key in keys for place in ((value, key), *places(value[key]))]


def mutate(rng: random.Random, content: dict[str, Any]) -> None:
    """Change one value: replaced, wrapped, unwrapped, taken away, doubled, turned into text."""
    container, key = rng.choice(places(content))
    value = container[key]
    match rng.randrange(8):
        case 0 if isinstance(container, dict):
            del container[key]
        case 1:
            container[key] = [value]
        case 2:
            container[key] = json.dumps(value)
        case 3 if isinstance(value, list):
            value += copy.deepcopy(value)
        case 4 if isinstance(value, list) and value:
            container[key] = value[0]
        case 5 if isinstance(value, int | float):
            container[key] = rng.choice([float(value) if abs(value) < 1e300 else 0.5, str(value)[:300], bool(value)])
        case _:
            container[key] = rng.choice(ODD)()


def mutated_text(rng: random.Random) -> bytes:
    content = small_document()
    for _ in range(rng.randint(1, 4)):
        mutate(rng, content)
    data = bytearray(json.dumps(content).encode())
    if rng.random() < 0.15:
        place = rng.randrange(len(data))
        data[place : place + rng.randint(0, 3)] = bytes(rng.randrange(256) for _ in range(rng.randint(0, 3)))
    return bytes(data[: rng.randrange(len(data))]) if rng.random() < 0.03 else bytes(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mutated")
    for number in (1, 2, 3):
        gradient(24, 20).save(root / f"{number}.png")
    return root


def run_mutations(folder: Path, seeds: range) -> int:
    """Read so many mutated files and every scene in them; returns how many had people."""
    num_read = 0
    for seed in seeds:
        (folder / "instances_train.json").write_bytes(mutated_text(random.Random(seed)))
        with suppress(UserError):
            index = index_dataset(folder)
            for split in (index.train, index.val):
                for problem in (*split.problems, *split.doubts):
                    assert problem.file.encode()
                for scene in split.scenes:
                    num_read += 1
                    assert scene.name.encode()
                    with suppress(UnusableSample):
                        scene.read()
    return num_read


def test_no_mutation_of_a_coco_file_ends_in_a_traceback(folder: Path) -> None:
    assert run_mutations(folder, range(NUM_MUTATIONS)) > NUM_MUTATIONS


@pytest.mark.slow
@pytest.mark.parametrize("block", range(25))
def test_no_mutation_of_very_many_ends_in_a_traceback(folder: Path, block: int) -> None:
    first = NUM_MUTATIONS * (block + 1)
    assert run_mutations(folder, range(first, first + NUM_MUTATIONS)) > NUM_MUTATIONS

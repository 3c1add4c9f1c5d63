"""Shared fixtures: a fixed seed, one thread for torch, and the folder of real photographs if present."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import random
import sys
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
COCO_PERSON = ROOT.parent / "shared" / "data" / "coco_person"
LONGEST = (
    "tests/e2e/test_signals.py",
    "tests/runtime/test_probation.py",
    "tests/e2e/test_ends.py",
    "tests/runtime/test_guardian.py",
    "tests/test_main.py",
    "tests/faults/test_numbers.py",
    "tests/runtime/reproduce/test_reproduce.py",
    "tests/e2e/test_steering.py",
    "tests/forensics/test_diagnose.py",
    "tests/snapshots/test_screens.py",
    "tests/runtime/test_train.py",
)
"""Files that last longest: they start many programs or train many runs."""

# Modules are compiled once, and not again by each worker and by each program that a test starts.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    """One thread for torch, in this process and in those that tests start. No garbage is collected during imports.

    Where a test has two threads, the idle one sleeps: by default it computes while it waits, on a core of others. Only
    the tests of the GPU see one, if there is one: the others compare bits, which its default kernels do not repeat.
    """
    chosen = str(config.option.markexpr)
    if "gpu" not in chosen or "not gpu" in chosen:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage again, except among modules and tests: they stay until the end. Share style sheets and scenes.

    Garbage is collected less often than by default: that takes a fifth of the time of a test of a screen. Runs that
    several tests share are trained before the first of these tests is set up, and compute like the others.
    """
    compute_alike()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    gc.enable()
    if "textual.css.stylesheet" in sys.modules:
        from tests.parsed_css import share_parsed_css

        share_parsed_css()
    if "engine.tasks.person.data.sources" in sys.modules:
        from tests.drawn_scenes import share_drawn_scenes

        share_drawn_scenes()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: a worker that came to one last would keep the others waiting."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests that press keys are coroutines."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start every test from the same random numbers, including torch's if it is loaded.

    Networks of a few channels take a fifth less time without oneDNN. It is on in the programs that tests start.
    """
    random.seed(0)
    np.random.seed(0)
    compute_alike()


def compute_alike() -> None:
    """Compute in this process with one thread and without oneDNN, from the same random numbers, if torch is loaded."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
        torch.set_num_threads(1)
        torch.backends.mkldnn.set_flags(False)


@pytest.fixture
def as_in_programs(seeded: None) -> Generator[None]:
    """Compute with oneDNN, for numbers that are compared with those of a program or of an earlier run."""
    import torch

    torch.backends.mkldnn.set_flags(True)
    yield
    torch.backends.mkldnn.set_flags(False)


@pytest.fixture
def coco_person() -> Path:
    """Return the folder of real photographs; skip the test if it is absent."""
    if not (COCO_PERSON / "instances_val.json").is_file():
        pytest.skip(f"the real images are not there: {COCO_PERSON}")
    return COCO_PERSON

"""Every key of a configuration is read, and the scan that checks it finds an unread one."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from engine.tasks.person.config import PersonConfig
from tests.architecture.config_reads import unread_keys

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "engine" / "config"
TREES = (
    CONFIG / "sections.py",
    CONFIG / "supervision_sections.py",
    CONFIG / "tree.py",
    ROOT / "engine" / "tasks" / "person" / "config.py",
)
ABOUT_CONFIGS = {
    TREES[0],
    *(ROOT / "engine" / "config" / f"{part}.py" for part in ("load", "keys", "files/yaml_source")),
}


class InnerConfig(BaseModel):
    width: int = 1
    seed: int = 0

    def both(self) -> dict[str, int]:
        return self.model_dump()


class OuterConfig(BaseModel):
    inner: InnerConfig = InnerConfig()
    batch_size: int = 2


FAKE_TREE = """
class InnerConfig:
    def both(self):
        return self.model_dump()

    def wide(self):
        return self.width > 3
"""


def unread(*sources: str) -> list[str]:
    return unread_keys(OuterConfig, FAKE_TREE, sources)


def test_every_key_of_the_tree_is_read_by_the_program():
    programs = [*(ROOT / "engine").rglob("*.py"), *(ROOT / "cockpit").rglob("*.py"), ROOT / "main.py"]
    sources = [path.read_text(encoding="utf-8") for path in programs if path.is_file() and path not in ABOUT_CONFIGS]
    unread = unread_keys(PersonConfig, "\n".join(tree.read_text(encoding="utf-8") for tree in TREES), sources)
    assert not unread, f"config keys that nobody reads: {', '.join(unread)}"


def test_a_key_that_nobody_reads_is_found():
    class FakeConfig(PersonConfig):
        nobody_reads_this: int = 3

    fake = "def f(config: FakeConfig): return config.training.epochs"
    assert "nobody_reads_this" in unread_keys(FakeConfig, "", [fake])
    assert "training.epochs" not in unread_keys(FakeConfig, "", [fake])


def test_a_program_that_reads_nothing_leaves_every_key_unread():
    assert unread("x = 1") == ["inner.width", "inner.seed", "batch_size"]


@pytest.mark.parametrize(
    "program",
    [
        "def f(config: OuterConfig): return config.inner.width",
        "def f(config: 'OuterConfig | None'): return config.inner.width",
        "def f(inner: InnerConfig): return g(inner.width)",
        "def f(config: OuterConfig):\n  inner = config.inner\n  return inner.width",
        "def f(config: OuterConfig):\n  inner, other = config.inner, 3\n  return inner.width",
        "def f(config: OuterConfig):\n  return [inner.width for _ in x if (inner := config.inner)]",
        "def f(config: OuterConfig): return lambda: config.inner.width",
        "class A:\n  def __init__(self, c: OuterConfig): self._c = c\n  def f(self): return self._c.inner.width",
        "class A:\n  config: OuterConfig\ndef f(a: A): return a.config.inner.width",
        "class A:\n  config: OuterConfig\nclass B:\n  def __init__(self, a: A): self.x = a.config.inner\n"
        "  def f(self): return self.x.width",
        "class A:\n  @property\n  def inner(self) -> InnerConfig: return x\ndef f(a: A): return a.inner.width",
        "def load() -> OuterConfig: ...\ndef f():\n  config = load()\n  return config.inner.width",
        "def f(config: OuterConfig): return config.model_copy().inner.width",
        "def f(): return OuterConfig().inner.width",
        "def f(config: OuterConfig): return config.inner.wide()",
    ],
)
def test_a_read_along_a_plausible_path_counts(program):
    assert unread(program) == ["inner.seed", "batch_size"]


def test_a_method_that_dumps_its_section_reads_all_of_it():
    assert unread("def f(config: OuterConfig): return config.inner.both()") == ["batch_size"]


@pytest.mark.parametrize(
    "program",
    [
        "class State:\n  batch_size: int\ndef f(state: State): return state.batch_size",
        "def f(batch): return batch.width + batch.batch_size",
        "def f(config: OuterConfig): return config.model_dump()",
        "def f(config: OuterConfig): return config.inner.model_dump()",
        "def f(config: OuterConfig): return config.inner",
        "def f(config: OuterConfig): return width + inner.seed",
        "class A:\n  width: int\n  def f(self): return self.width",
        "x = 'config.inner.width'  # config.inner.seed",
    ],
)
def test_a_namesake_is_no_read(program):
    assert unread(program) == ["inner.width", "inner.seed", "batch_size"]

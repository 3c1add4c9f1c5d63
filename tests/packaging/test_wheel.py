"""The wheel holds all that the program needs: built, installed into a fresh environment, and run from another folder.

Nothing is downloaded: the wheel is built without isolation and installed without dependencies, which the new
environment finds in the one that runs the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.config.files.named_configs import list_configs
from engine.journal.disk.run_dir import JOURNAL_FILE
from tests.architecture.sources import ROOT

pytestmark = pytest.mark.timeout(300)

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "main.py", "engine", "cockpit", "configs")


@dataclass(frozen=True)
class Installed:
    """The wheel's files by name, and the environment that it was installed into."""

    names: frozenset[str]
    folder: Path

    def run(self, program: str, *words: str, cwd: Path) -> str:
        """Run a program of the environment; returns what it printed. Fails unless the exit code is 0."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        command = [str(self.folder / "bin" / program), *words]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    wheel = _build(folder)
    environment = folder / "environment"
    venv.create(environment, symlinks=True, with_pip=False)
    packages = next(environment.glob("lib/python*/site-packages"))
    _pip("--python", str(environment / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel))
    # A line in a .pth file adds a folder without reading the .pth files in it: an editable install there has no effect.
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    return Installed(frozenset(zipfile.ZipFile(wheel).namelist()), environment)


def _build(folder: Path) -> Path:
    """Build the wheel from a copy of the sources: a build leaves files in the folder that it is given."""
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    _pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    return next(folder.glob("training_cockpit-*.whl"))


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_holds_all_files_that_the_program_reads(installed: Installed) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    code = {name for name in tracked if name.startswith(("engine/", "cockpit/")) and name.endswith((".py", ".tcss"))}
    pages = {name for name in tracked if name.startswith("cockpit/docs/") and name.endswith(".md")}
    configs = {f"engine/config/named/{config.path.name}" for config in list_configs()}
    assert code | pages | configs | {"main.py", "engine/py.typed", "cockpit/py.typed"} <= installed.names


def test_the_wheel_holds_nothing_else(installed: Installed) -> None:
    tops = {name.partition("/")[0] for name in installed.names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"engine", "cockpit", "main.py"}


def test_the_command_tells_its_version_and_configs_in_any_folder(installed: Installed, tmp_path: Path) -> None:
    assert installed.run("training-cockpit", "--version", cwd=tmp_path).startswith("training-cockpit 0.")
    listed = installed.run("training-cockpit", "configs", cwd=tmp_path)
    assert [line.split()[0] for line in listed.splitlines()] == [config.name for config in list_configs()]
    shown = installed.run("training-cockpit", "configs", "--show", "tiny", cwd=tmp_path)
    assert f"{installed.folder}" in shown and str(ROOT) not in shown
    assert "usage: training-cockpit status" in installed.run("training-cockpit", "status", "--help", cwd=tmp_path)


@pytest.mark.slow
def test_two_steps_are_trained_in_any_folder_with_worker_processes(installed: Installed, tmp_path: Path) -> None:
    words = ("--no-ui", "--config", "tiny", "--run", "first", "--max-steps", "2", "--set", "data.num_workers=1")
    said = installed.run("training-cockpit", *words, cwd=tmp_path)
    assert "training-cockpit --resume first" in said and "main.py" not in said
    assert (tmp_path / "runs" / "first" / JOURNAL_FILE).exists()
    assert "first" in installed.run("training-cockpit", "status", "first", cwd=tmp_path)


def test_the_installed_engine_is_the_one_in_the_wheel(installed: Installed, tmp_path: Path) -> None:
    code = "import engine, cockpit, main; print(engine.__file__, cockpit.__file__, main.__file__)"
    for path in installed.run("python", "-c", code, cwd=tmp_path).split():
        assert Path(path).is_relative_to(installed.folder)

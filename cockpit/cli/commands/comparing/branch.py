"""`main.py branch RUN`: choose the checkpoint of a run from which a new run begins. The run is only read."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from cockpit.cli.attached_runs import refuse_branch
from cockpit.cli.options import BranchPoint, TrainOptions, train_options
from cockpit.cli.output import print_lines
from cockpit.text.format import escape_control
from engine.errors import UserError, did_you_mean
from engine.journal.disk.find_run import find_run
from engine.journal.disk.run_dir import CHECKPOINTS

_LISTED: Final = 12
"""Most steps that a message names, the newest ones."""


def branch_options(arguments: argparse.Namespace) -> TrainOptions:
    """Return the options of a branch, and print at which step it begins. Raises UserError if it cannot begin."""
    point = branch_point(arguments)
    if not arguments.quiet:
        print_lines([announcement(point, arguments.origin)])
        sys.stdout.flush()
    return train_options(arguments, point)


def branch_point(arguments: argparse.Namespace) -> BranchPoint:
    """Return the checkpoint that the arguments of `branch` name. Raises UserError if there is none."""
    run_dir = find_run(arguments.runs_dir, arguments.parent)
    refuse_branch(run_dir)
    steps = checkpoint_steps(run_dir / CHECKPOINTS)
    if not steps:
        raise UserError(f"the run {run_dir.name!r} has no checkpoint to branch from")
    origin: str = arguments.origin
    if origin and not origin.isdecimal():
        return _named(origin, run_dir, steps)
    step = _at_or_before(int(origin), steps, run_dir) if origin else max(steps)
    return BranchPoint(run_dir, step, steps[step])


def announcement(point: BranchPoint, origin: str) -> str:
    """Return which step a branch begins at, in one sentence."""
    said = f"branching {escape_control(point.run_dir.name)} from step {point.step}"
    if not origin:
        return f"{said}, its newest checkpoint"
    is_other = origin.isdecimal() and int(origin) != point.step
    return f"{said}, the newest checkpoint at or before {int(origin)}" if is_other else said


def checkpoint_steps(folder: Path) -> dict[int, str]:
    """Return the file name of the checkpoint at each step, without those that a rollback has set aside."""
    found = {path.stem.removeprefix("step-"): path.name for path in folder.glob("step-*.pt")}
    return {int(step): name for step, name in sorted(found.items()) if step.isdecimal()}


def _at_or_before(wanted: int, steps: dict[int, str], run_dir: Path) -> int:
    earlier = [step for step in steps if step <= wanted]
    if not earlier:
        newest = sorted(steps)[-_LISTED:]
        more = "..., " if len(newest) < len(steps) else ""
        listed = f"{more}{', '.join(map(str, newest))}"
        raise UserError(f"the run {run_dir.name!r} has no checkpoint at or before step {wanted}: there are {listed}")
    return max(earlier)


def _named(origin: str, run_dir: Path, steps: dict[int, str]) -> BranchPoint:
    """Return the checkpoint file that `origin` names: by its name, by a path, or one of the run's aliases."""
    folder = run_dir / CHECKPOINTS
    path = folder / origin if (folder / origin).is_file() else Path(origin)
    if not path.is_file():
        known = [*steps.values(), *(file.name for file in folder.glob("*.pt") if file.name not in steps.values())]
        raise UserError(f"the run {run_dir.name!r} has no checkpoint {origin!r}: {did_you_mean(path.name, known)}")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{origin} is no checkpoint of the run {run_dir.name!r}: --init-from starts with its weights")
    inside = path.resolve().relative_to(folder.resolve())
    step = inside.stem.removeprefix("step-")
    if step.isdecimal():
        return BranchPoint(run_dir, int(step), str(inside))
    files = {step: folder / name for step, name in steps.items()}
    same = [step for step, file in files.items() if _is_one_file(file, path)]
    same = same or [step for step, file in files.items() if _is_same(file, path)]
    if not same:
        raise UserError(f"{origin} equals no step of the run {run_dir.name!r}: name one, such as --from {max(steps)}")
    return BranchPoint(run_dir, same[0], steps[same[0]])


def _is_one_file(path: Path, alias: Path) -> bool:
    """Return whether two names are hard links of one file.

    The checksum of an alias is the former one if the run was killed while the alias was replaced.
    """
    try:
        return path.samefile(alias)
    except OSError:
        return False


def _is_same(path: Path, alias: Path) -> bool:
    """Return whether two checkpoint files have the same checksum."""
    return _checksum(path) == _checksum(alias) != ""


def _checksum(path: Path) -> str:
    try:
        return path.with_name(f"{path.name}.sha256").read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""

"""Options of the commands `branch` and `compare`."""

from __future__ import annotations

import argparse
from typing import Any, Final

from cockpit.cli.commands.training_options import add_what_to_train, add_where_to_train
from cockpit.cli.parser import Parser, add_runs_dir, examples, key_list, subcommand

_BRANCH_EXAMPLES: Final = """
the branch goes on exactly as a resume would, but for what you set; the run itself is not changed. It is named after the
run and the step unless --run names it.
examples:
  main.py branch latest --from 1200 --set training.learning_rate=3e-4
  main.py branch my-run --from best.pt --run gentle --set training.gradient_clip=0.5 --no-ui
"""


def add_branch(commands: Any) -> None:
    """Add the command `branch`."""
    about = "begin a new run with the state of a run's checkpoint, and with other settings"
    branch: Parser = commands.add_parser(
        "branch", help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=examples(_BRANCH_EXAMPLES)
    )
    branch.add_argument("parent", metavar="RUN", help="the run to branch: its name, a path, or latest")
    branch.add_argument(
        "--from",
        dest="origin",
        default="",
        metavar="CHECKPOINT",
        help="a step, at or before which the newest checkpoint is taken, or a checkpoint file of the run (the newest)",
    )
    add_what_to_train(branch)
    add_where_to_train(branch)


def add_compare(commands: Any) -> None:
    """Add the command `compare`."""
    about = "lay the curves of several runs over each other, with their differences and interventions"
    compare = subcommand(commands, "compare", about)
    compare.add_argument("runs", nargs="+", metavar="RUN", help="two runs or more: names, paths, or latest")
    compare.add_argument("--keys", type=key_list, metavar="A,B", help="these metrics only, such as loss/total,val/loss")
    axes = ("step", "epoch", "samples", "time")
    compare.add_argument("--x", choices=axes, default="step", help="the horizontal axis (step)")
    compare.add_argument("--json", action="store_true", help="one JSON object instead of the screen or the text")
    add_runs_dir(compare, argparse.SUPPRESS)

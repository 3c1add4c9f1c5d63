"""Options of a training: what is trained, where, and from which other run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from cockpit.cli.options import add_time_limit
from cockpit.cli.parser import Parser, add_runs_dir, count, setting
from engine.protocol.words.command_syntax import program_name

DEVICES: Final = ("auto", "cpu", "cuda", "mps")
DEFAULT_RUNS_DIR: Final = Path("runs")


def add_what_to_train(parser: Parser) -> None:
    """Add the options that say what is trained, on which data and how long."""
    group = parser.add_argument_group("what to train")
    group.add_argument(
        "--config",
        "--configs",
        default="",
        metavar="NAME",
        help=f"a config's name, or a YAML file; see `{program_name()} configs`",
    )
    group.add_argument(
        "--task",
        default="",
        metavar="FILE.py:CLASS",
        help="train your own network: the task class in that file; without --config its own defaults apply",
    )
    group.add_argument("--data", default="", metavar="DIR", help="the data set (the task's built-in data)")
    group.add_argument("--epochs", type=count, metavar="N", help="passes over the training split")
    group.add_argument("--max-steps", type=count, metavar="N", help="end after N steps, even if --epochs allows more")
    group.add_argument("--batch-size", "--batch_size", type=count, metavar="N", help="samples per batch")
    group.add_argument("--seed", type=count, metavar="N", help="seed of all random generators")
    group.add_argument(
        "--set", dest="settings", action="append", default=[], type=setting, metavar="KEY=VALUE",
        help="set any key of the config; may be repeated, overrides all other options",
    )  # fmt: skip


def add_where_to_train(parser: Parser) -> None:
    """Add the options that say where a training runs and how it reports."""
    group = parser.add_argument_group("where and how")
    group.add_argument("--device", choices=DEVICES, default="auto", help="where to compute (auto)")
    group.add_argument("--run", dest="run_name", default="", metavar="NAME", help="the run's name (config and time)")
    group.add_argument("--no-ui", action="store_true", help="report on the console instead of the screen")
    group.add_argument("--keep-running", action="store_true", help="continue when the terminal is closed (SIGHUP)")
    group.add_argument("--autopilot", action="store_true", help="promote to the next phase whenever its gate is ready")
    group.add_argument("--quiet", action="store_true", help="report only the start, alerts, validations and the end")
    add_baseline(group)
    group.add_argument(
        "--script",
        default="",
        metavar="FILE",
        help="commands at given steps, lines such as `120: lower-lr 0.5`",
    )
    add_notify(group)
    add_time_limit(group)
    add_runs_dir(group, DEFAULT_RUNS_DIR)


def add_baseline(parser: argparse._ActionsContainer) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add `--baseline`."""
    about = "draw the curves of that run below those on the screen"
    parser.add_argument("--baseline", default="", metavar="RUN", help=about)


def add_origin(parser: Parser) -> None:
    """Add the options that begin with the state or the weights of another run."""
    group = parser.add_argument_group("from another run")
    group.add_argument("--resume", default="", metavar="RUN", help="continue a run: its name, a path, or latest")
    group.add_argument("--init-from", default="", metavar="CHECKPOINT", help="start with the weights of another run")


def add_notify(parser: argparse._ActionsContainer) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add `--notify`."""
    about = "send the end, alerts and promotions to an apprise address, such as ntfy://my-topic; may be repeated"
    parser.add_argument("--notify", action="append", default=[], metavar="URL", help=about)

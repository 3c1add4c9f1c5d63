"""The options of the subcommands that read runs, and of `runs`, without slow imports."""

from __future__ import annotations

import argparse
from typing import Any, Final

from cockpit.cli.options import add_histogram_options
from cockpit.cli.parser import (
    Parser,
    add_runs_dir,
    examples,
    key_list,
    natural,
    positive_count,
    reader,
    seconds,
    subcommand,
)

_RUNS_EXAMPLES: Final = """
exit codes: 0 done; 1 the run to delete needs --yes; 2 wrong words, no such run, or a process uses it
examples:
  main.py runs                                     the screen: enter opens a run, / filters, ? shows all keys
  main.py runs --json
  main.py runs note latest the first that converged
  main.py runs tag my-run +baseline -draft
  main.py runs rename my-run baseline-2
  main.py runs delete my-run --yes
"""

_WAIT_EXAMPLES: Final = """
names: step, epoch, phase, loss, grad_norm, lr, score, best, nan (skipped steps), alerts, spikes, activity, and every
recorded metric, such as val/loss or "any name". An unrecorded value makes its comparison neither true nor false.
exit codes: 0 it holds; 1 the run ended without it; 2 wrong words; 3 timed out
examples:
  main.py wait latest --until 'phase>=2 or nan>0 or score>.5' --timeout 3600
  main.py wait my-run --until 'activity==paused' --json
"""


def add_readers(commands: Any) -> None:
    """Add the subcommands that print or draw a run, and the list of runs."""
    status = reader(commands, "status", "print what a run does, its results and its next steps")
    status.add_argument("--json", action="store_true", help="one JSON object")
    about = "print a run's metrics: an overview, or rows with --around, --tail, --csv or --json"
    metrics = reader(commands, "metrics", about)
    metrics.add_argument("--keys", type=key_list, metavar="A,B", help="these metrics only, such as loss/total,val/loss")
    metrics.add_argument("--around", type=natural, metavar="STEP", help="only the steps around STEP")
    metrics.add_argument("--window", type=natural, metavar="N", help="N steps on each side of STEP (10)")
    metrics.add_argument("--follow", action="store_true", help="print each new step and validation until the run ends")
    metrics.add_argument("--tail", type=natural, metavar="N", help="only the newest N steps (all)")
    _add_idle_timeout(metrics)
    form = metrics.add_mutually_exclusive_group()
    form.add_argument(
        "--json",
        action="store_true",
        help='{"step": [...], "<key>": [...]}, null for an absent value; with --follow one object per line',
    )
    form.add_argument("--csv", action="store_true", help="one row per step, an absent value is empty")
    events = reader(commands, "events", "print a run's interventions, validations, checkpoints and alerts")
    events.add_argument("--kind", type=key_list, metavar="A,B", help="these kinds only, such as alert_raised,lr_scaled")
    events.add_argument("--tail", type=positive_count, metavar="N", help="only the newest N")
    events.add_argument("--follow", action="store_true", help="continue with new events until the run ends")
    _add_idle_timeout(events)
    events.add_argument("--json", action="store_true", help="a JSON array; with --follow one object per line")
    add_histogram_options(reader(commands, "histogram", "draw the histograms of a layer, or list those kept"))
    plot = reader(commands, "plot", "draw a run's curves in the terminal")
    plot.add_argument("--keys", type=key_list, metavar="A,B", help="these metrics only")
    plot.add_argument("--x", choices=("step", "epoch", "time"), default="step", help="the horizontal axis (step)")
    plot.add_argument("--plotext", action="store_true", help="draw with the library plotext, without colours")
    _add_runs(commands)


def _add_runs(commands: Any) -> None:
    runs: Parser = commands.add_parser(
        "runs",
        help="list every run: a screen on a terminal, lines in a pipe; note, tag, rename and delete runs",
        description="List every run: a screen on a terminal, lines in a pipe. Its actions change one run.",
        epilog=examples(_RUNS_EXAMPLES),
    )
    form = runs.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON array of statuses, the latest run first")
    form.add_argument("--plain", action="store_true", help="lines on a terminal too")
    add_runs_dir(runs, argparse.SUPPRESS)
    actions = runs.add_subparsers(dest="action", metavar="ACTION", title="actions")
    note = _run_action(actions, "note", "write a note on a run, in place of the former one; without TEXT remove it")
    note.add_argument("words", nargs="*", default=[], metavar="TEXT", help="the note")
    tag = _run_action(actions, "tag", "add tags to a run with +TAG or TAG, remove them with -TAG; print its tags")
    tag.add_argument("words", nargs=argparse.REMAINDER, metavar="+TAG|-TAG", help="the changes, the last words")
    rename = _run_action(actions, "rename", "give a run that no process uses another name; the former one finds it too")
    rename.add_argument("name", metavar="NEW", help="its new name")
    delete = _run_action(actions, "delete", "delete a run that no process uses, with all of its files")
    delete.add_argument("--yes", action="store_true", help="without this, only print what would be deleted")


def _run_action(actions: Any, name: str, summary: str) -> Parser:
    parser = subcommand(actions, name, summary)
    parser.add_argument("run", metavar="RUN", help="a run's name, a path, or latest")
    add_runs_dir(parser, argparse.SUPPRESS)
    return parser


def _add_idle_timeout(parser: Parser) -> None:
    about = "with --follow: end after so many seconds without news, with exit code 3"
    parser.add_argument("--idle-timeout", type=seconds, metavar="SECONDS", help=about)


def add_wait(commands: Any) -> None:
    """Add the subcommand `wait`."""
    about = "wait until a condition on a run holds, such as 'phase>=2 or nan>0'"
    parser: Parser = commands.add_parser(
        "wait", help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=examples(_WAIT_EXAMPLES)
    )
    parser.add_argument("run", metavar="RUN", help="a run's name, a path, or latest")
    parser.add_argument("--until", required=True, metavar="CONDITION", help="comparisons, and, or, not, parentheses")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="how long to wait (until the run ends)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_runs_dir(parser, argparse.SUPPRESS)

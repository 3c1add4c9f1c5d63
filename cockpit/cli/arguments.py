"""Define the options and subcommands of `main.py`, without slow imports, so that a mistake is reported quickly."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cockpit.cli.commands.analysis.analysis_options import add_diagnose, add_profile, add_redrive
from cockpit.cli.commands.comparing.comparing_options import add_branch, add_compare
from cockpit.cli.commands.reading.reading_options import add_readers, add_wait
from cockpit.cli.commands.trained.evaluate_options import EVAL_EXAMPLES, add_eval_options
from cockpit.cli.commands.trained.export_options import EXPORT_EXAMPLES, add_export_options
from cockpit.cli.commands.trained.predict_options import PREDICT_EXAMPLES, add_predict_options
from cockpit.cli.commands.training_options import (
    DEVICES,
    add_baseline,
    add_notify,
    add_origin,
    add_what_to_train,
    add_where_to_train,
)
from cockpit.cli.options import add_time_limit
from cockpit.cli.parser import (
    Parser,
    add_runs_dir,
    examples,
    first_word,
    reader,
    seconds,
    subcommand,
)
from cockpit.cli.servers.server_options import add_mcp_options, add_serve_options
from cockpit.cli.version import VersionAction
from engine.protocol.words.command_syntax import COMMAND_WORDS, program_name, usage

_EXAMPLES: Final = """
without a command, train:
  main.py                                          train on the built-in people
  main.py --no-ui --config tiny --data DIR --epochs 20
  main.py --no-ui --set training.learning_rate=1e-5 --set training.seed=1
  main.py --no-ui --resume latest                  continue the run that was started last

watch and steer from another terminal:
  main.py attach latest                            open the screen on the run; q leaves it, the run goes on
  main.py status latest --json
  main.py metrics latest --keys loss/total,val/loss --csv
  main.py send latest lower-lr 0.5 --wait
"""

_RUN_VALUES: Final = ("--run", "--runs-dir", "--notify", "--time-limit")
"""Options of `run` that are followed by a value."""

_RUN_EXAMPLES: Final = """
what the program prints goes to console.log in the run's directory. Its own options follow its name:
  main.py run train.py --lr 3e-4
  main.py run --no-ui --run first -m package.module
  main.py run -- torchrun --nproc-per-node 2 train.py
"""

_DATA_EXAMPLES: Final = """
examples:
  main.py data inspect DIR --pictures OUT
  main.py data statistics DIR --json
"""

_SEND_EXAMPLES: Final = """
exit codes: 0 sent, applied or clamped; 1 refused; 2 wrong command, or the run is not running; 3 no outcome in time
examples:
  main.py send latest lower-lr 0.5 --wait
  main.py send latest promote --force --dry-run
  main.py send my-run note the second phase looks calm
"""


def build_parser(command: str = "") -> Parser:
    """Return the parser of `main.py`; its `command` is None for training, or the name of the subcommand.

    For the command `attach` it knows only that one, as the first chart waits for it.
    """
    about = "Train a network, watch the run and steer it."
    parser = Parser(prog=program_name(), description=about, epilog=examples(_EXAMPLES))
    parser.add_argument("--version", action=VersionAction, help="print the version and exit")
    add_what_to_train(parser)
    add_where_to_train(parser)
    add_origin(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for add in (_add_attach,) if command == "attach" else _ADDERS:
        add(commands)
    return parser


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `main.py`; print one sentence for a mistake and exit with code 2."""
    parser = build_parser(first_word(words))
    own, program = split_run(words)
    arguments = parser.parse_args(own)
    arguments.program = program
    if arguments.command and first_word(words) != arguments.command:
        parser.error(f"the command {arguments.command!r} comes first, before its options")
    return arguments


def split_run(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of `run` that are the cockpit's own, and the program with its arguments; all words otherwise."""
    if first_word(words) != "run":
        return list(words), []
    at = 1
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-m", "--"):
        at += 2 if words[at] in _RUN_VALUES else 1
    return list(words[:at]), list(words[at:])


def _add_run(commands: Any) -> None:
    run: Parser = commands.add_parser(
        "run",
        help="run any PyTorch program, untouched, and watch and steer its training",
        usage=f"{program_name()} run [OPTIONS] (SCRIPT | -m MODULE | -- COMMAND) [ARGUMENT ...]",
        description="Run any PyTorch program, untouched, and watch and steer its training.",
        epilog=examples(_RUN_EXAMPLES),
    )
    run.add_argument("--run", dest="run_name", default="", metavar="NAME", help="the run's name (program and time)")
    run.add_argument("--no-ui", action="store_true", help="report on the console instead of the screen")
    run.add_argument("--keep-running", action="store_true", help="continue when the terminal is closed (SIGHUP)")
    run.add_argument("--quiet", action="store_true", help="report only the start, alerts, validations and the end")
    add_notify(run)
    add_time_limit(run)
    add_runs_dir(run, argparse.SUPPRESS)


def _add_attach(commands: Any) -> None:  # the type of argparse for a group of subcommands is private
    attach = reader(commands, "attach", "open the screen on a run of any process, live or ended")
    add_baseline(attach)
    attach.add_argument("--read-only", action="store_true", help="only watch: the screen sends no command")


def _add_eval(commands: Any) -> None:
    evaluate = subcommand(commands, "eval", "measure a trained network on a data set: every score, by size, by region")
    evaluate.epilog = examples(EVAL_EXAMPLES)
    add_eval_options(evaluate, DEVICES)
    add_runs_dir(evaluate, argparse.SUPPRESS)


def _add_predict(commands: Any) -> None:
    predict = subcommand(commands, "predict", "predict the masks of given boxes in images with a trained network")
    predict.epilog = examples(PREDICT_EXAMPLES)
    add_predict_options(predict, DEVICES)
    add_runs_dir(predict, argparse.SUPPRESS)


def _add_export(commands: Any) -> None:
    export = subcommand(commands, "export", "write a trained network to a file for other programs, and check it")
    export.epilog = examples(EXPORT_EXAMPLES)
    add_export_options(export)
    add_runs_dir(export, argparse.SUPPRESS)


def _add_send(commands: Any) -> None:
    lines = "\n".join(f"  {usage(name):<24}{word.summary}" for name, word in COMMAND_WORDS.items())
    parser: Parser = commands.add_parser(
        "send",
        help="send a command to a running run",
        description=f"Send a command to a running run. The commands:\n{lines}",
        epilog=examples(_SEND_EXAMPLES),
    )
    parser.add_argument("run", metavar="RUN", help="a run's name, a path, or latest")
    parser.add_argument("words", nargs="+", metavar="COMMAND", help="one of the commands above, with its arguments")
    parser.add_argument("--wait", action="store_true", help="wait for the outcome and print it")
    parser.add_argument("--timeout", type=seconds, default=60.0, metavar="SECONDS", help="how long --wait waits (60)")
    parser.add_argument("--dry-run", action="store_true", help="only print the predicted outcome")
    parser.add_argument("--force", action="store_true", help="with promote: despite a failed check")
    parser.add_argument("--json", action="store_true", help="print the outcome as a JSON object")
    parser.add_argument("--actor", default="", metavar="NAME", help="the sender's name in the journal (cli:USER)")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, recorded with the outcome in the journal")
    add_runs_dir(parser, argparse.SUPPRESS)


def _add_configs_data_docs(commands: Any) -> None:
    configs = subcommand(commands, "configs", "list the named configs, or print one")
    configs.add_argument("--show", metavar="NAME", help="print one config, resolved")
    data = subcommand(commands, "data", "check a data set, or measure it")
    data.epilog = examples(_DATA_EXAMPLES)
    actions = data.add_subparsers(dest="action", metavar="ACTION", required=True)
    inspect: Parser = actions.add_parser("inspect", help="print what a data set contains and what cannot be used")
    inspect.add_argument("--pictures", type=Path, metavar="OUT", help="write samples with their labels to OUT, as PNG")
    about = "print class shares, overlap and sizes, and the class weights that follow"
    statistics: Parser = actions.add_parser("statistics", help=about, description=f"{about[0].upper()}{about[1:]}.")
    statistics.add_argument("--json", action="store_true", help="one JSON object")
    about = "the data's task: FILE.py:Class or package.module:Class"
    for action in (inspect, statistics):
        action.add_argument("directory", type=Path, metavar="DIR", help="the data set's directory")
        action.add_argument("--task", default="", metavar="TASK", help=about)
        action.add_argument("--use-crowds", action="store_true", help="count COCO's iscrowd=1 annotations as well")
    docs = subcommand(commands, "docs", "list the pages of the manual, or show one")
    docs.add_argument("page", nargs="?", default="", metavar="PAGE", help="the page's name")


def _add_servers(commands: Any) -> None:
    mcp = subcommand(commands, "mcp", "serve runs to agents by the Model Context Protocol on standard input and output")
    add_mcp_options(mcp)
    add_runs_dir(mcp, argparse.SUPPRESS)
    add_serve_options(reader(commands, "serve", "show the screen on a run in a browser of this machine"))


_ADDERS: Final = (
    *(_add_attach, add_readers, add_diagnose, add_profile, _add_eval, _add_predict, _add_export, add_redrive),
    *(_add_send, add_wait, _add_configs_data_docs, _add_run, add_branch, add_compare, _add_servers),
)

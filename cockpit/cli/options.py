"""The training options of the command line, and the configuration and the run that they request."""

from __future__ import annotations

import argparse
import os.path
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.cli.parser import Parser, count, time_text
from engine.config.task.task_path import absolute_task
from engine.errors import UserError
from engine.journal.disk.find_run import recorded_config
from engine.journal.disk.run_dir import CONFIG_FILE
from engine.protocol.record import record
from engine.protocol.words.command_syntax import program_name

if TYPE_CHECKING:
    from engine.config.tree import RunConfig
    from engine.protocol.words.script import ScriptedCommand
    from engine.runtime.start.bootstrap import RunRequest


_HISTOGRAM_EXAMPLES = """
a layer is a module or a parameter by its name in the network; `network` is all of it.
examples:
  main.py send latest histogram unet               take some at the next step
  main.py histogram latest                         list those that are kept
  main.py histogram latest unet
  main.py histogram my-run unet.stem.0.0.weight --step 1200 --json
"""


@record
class TrainOptions:
    """The training options as given; an omitted option is empty or None."""

    config: str
    task: str
    data: str
    epochs: int | None
    max_steps: int | None
    batch_size: int | None
    device: str
    seed: int | None
    settings: tuple[str, ...]
    run: str
    runs_dir: Path
    resume: str
    init_from: str
    no_ui: bool
    keep_running: bool
    quiet: bool
    script: str
    autopilot: bool = False
    branch: BranchPoint | None = None
    baseline: str = ""
    notify: tuple[str, ...] = field(default=(), repr=False)
    time_limit: str = ""


@record
class BranchPoint:
    """The checkpoint of a run from which a branch begins; `checkpoint` is relative to the run's folder of them."""

    run_dir: Path
    step: int
    checkpoint: str


def train_options(arguments: argparse.Namespace, branch: BranchPoint | None = None) -> TrainOptions:
    """Return the training options in the parsed arguments of a training, or of a `branch`.

    Raises UserError for a name of a run that is resumed under its own.
    """
    if branch is None and arguments.resume and arguments.run_name:
        raise UserError(
            f"--run {arguments.run_name} has no meaning with --resume {arguments.resume}, which goes on in that run: "
            f"leave it out, or begin a run of another name from it: {program_name()} branch {arguments.resume} "
            f"--run {arguments.run_name}"
        )
    return TrainOptions(
        config=arguments.config,
        task=_task_named(arguments),
        data=arguments.data,
        epochs=arguments.epochs,
        max_steps=arguments.max_steps,
        batch_size=arguments.batch_size,
        device=arguments.device,
        seed=arguments.seed,
        settings=tuple(arguments.settings),
        run=arguments.run_name,
        runs_dir=arguments.runs_dir,
        resume="" if branch else arguments.resume,
        init_from="" if branch else arguments.init_from,
        no_ui=arguments.no_ui,
        keep_running=arguments.keep_running,
        quiet=arguments.quiet,
        script=arguments.script,
        autopilot=arguments.autopilot,
        branch=branch,
        baseline=arguments.baseline,
        notify=tuple(arguments.notify),
        time_limit=arguments.time_limit,
    )


def _task_named(arguments: argparse.Namespace) -> str:
    """Return the task that the command line names: the last setting of it, or else its option."""
    named = [text for key, _, text in (setting.partition("=") for setting in arguments.settings) if key == "task"]
    return named[-1] if named else arguments.task


def overrides(options: TrainOptions) -> tuple[str, ...]:
    """Return KEY=VALUE settings for `load_config`: the options first, then each --set, which overrides them.

    A relative --data or --task becomes absolute, so that the run can be resumed from another directory.
    """
    given = {
        "task": absolute_task(options.task) if options.task else None,
        "training.epochs": options.epochs,
        "training.max_steps": options.max_steps,
        "training.batch_size": options.batch_size,
        "training.seed": options.seed,
        "autopilot.enabled": "true" if options.autopilot else None,
        "data.path": str(Path(os.path.expanduser(options.data)).absolute()) if options.data else None,
    }
    named = tuple(f"{key}={value}" for key, value in given.items() if value is not None)
    return named + options.settings


def resuming(options: TrainOptions, directory: Path) -> TrainOptions:
    """Return the options that resume a run that an earlier attempt has begun with `options`."""
    return replace(options, resume=str(directory), run="", init_from="")


def data_named(options: TrainOptions) -> str:
    """Return the data directory that the command line names, an empty string if it names none."""
    named = [value for key, _, value in (item.partition("=") for item in overrides(options)) if key == "data.path"]
    return named[-1] if named else ""


def script_of(options: TrainOptions) -> tuple[ScriptedCommand, ...]:
    """Return the commands of `--script`, none without it."""
    if not options.script:
        return ()
    from engine.protocol.words.script import read_script  # noqa: PLC0415

    return read_script(options.script)


def config_name(options: TrainOptions, basis: Path | None) -> str:
    """Return the configuration named by an option or by the resumed or branched run; an empty string for none."""
    return options.config or (str(recorded_config(basis)) if basis else "")


def run_stem(options: TrainOptions, name: str) -> str:
    """Return the base of a generated run name: a branch's origin, the configuration's name, or else the task's."""
    if options.branch is not None:
        return f"{options.branch.run_dir.name}-from-{options.branch.step}"
    return Path(name or options.task.rpartition(":")[0]).stem


def load_run_config(options: TrainOptions, basis: Path | None, name: str) -> RunConfig:
    """Return the resolved configuration.

    A resumed or branched run, the `basis`, keeps its data if only another configuration is named.
    """
    from engine.config.load import load_config, load_for_resume  # noqa: PLC0415

    if basis and options.config:
        return load_for_resume(name, overrides(options), basis / CONFIG_FILE)
    return load_config(name, overrides(options))


def run_request(
    options: TrainOptions, directory: Path, config: RunConfig, script: tuple[ScriptedCommand, ...], name: str
) -> RunRequest:
    """Return the request for a run in `directory`, whose configuration was named `name`."""
    from engine.config.load import usual_config  # noqa: PLC0415
    from engine.config.unusual import departures  # noqa: PLC0415
    from engine.journal.task_meta import Parent  # noqa: PLC0415
    from engine.runtime.start.bootstrap import RunRequest, with_threads  # noqa: PLC0415

    point = options.branch
    request = RunRequest(
        directory=directory,
        config=config,
        device=options.device,
        resume=bool(options.resume),
        init_from=options.init_from,
        script=script,
        unusual=() if options.resume else departures(config, usual_config(name, config)),
        parent=point and Parent.at(point.run_dir, point.step, point.checkpoint, child=directory),
    )
    return with_threads(request)


def add_time_limit(parser: argparse._ActionsContainer) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add `--time-limit` to a parser or to a group of options."""
    about = "end with a checkpoint before TIME is over: 3h55m, 90m, 1-02:30:00 (the end of a Slurm job), or none"
    parser.add_argument("--time-limit", type=time_text, default="", metavar="TIME", help=about)


def add_histogram_options(parser: Parser) -> None:
    """Define the arguments of `histogram` after the run."""
    parser.add_argument("layer", nargs="?", default="", metavar="LAYER", help="a layer's name; without it, list them")
    parser.add_argument("--step", type=count, metavar="N", help="those of step N only (the newest)")
    parser.add_argument("--json", action="store_true", help="a JSON array, the oldest first")
    parser.epilog = _HISTOGRAM_EXAMPLES.replace("main.py", program_name())

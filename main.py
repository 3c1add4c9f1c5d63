"""The Training Cockpit: train, watch and steer. The only module that imports both the engine and the cockpit."""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the handlers below: no traceback of the imports

import sys

from cockpit.terminal.shell_job import begin_job, wants_job
from cockpit.terminal.standard_streams import (
    complain,
    do_without_output,
    lead_nowhere,
    open_closed_streams,
    why_unwritten,
)
from engine.runtime.host.start_signals import end_on_signals, unwind_on_signals

if __name__ == "__main__":  # before the slow imports
    end_on_signals()
    open_closed_streams()
    if wants_job(sys.argv[1:]):
        begin_job()

import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.app.screen_commands.attach import attach
from cockpit.app.screen_commands.comparison import run_comparison
from cockpit.app.screen_commands.run_list import list_on_screen, wants_screen
from cockpit.cli.arguments import parse_arguments
from cockpit.cli.commands.comparing.baseline import baseline_of
from cockpit.cli.dispatch import run_subcommand
from cockpit.cli.options import (
    TrainOptions,
    config_name,
    data_named,
    load_run_config,
    resuming,
    run_request,
    run_stem,
    script_of,
    train_options,
)
from cockpit.console.run_end import complain_of_failure, discard_refused, end_unbegun, sum_up
from cockpit.terminal.lean_imports import lean_imports
from cockpit.terminal.terminal import why_no_screen
from cockpit.text.format import escape_control
from engine.errors import UserError
from engine.journal.disk.find_run import find_run
from engine.journal.disk.new_run import create_run, discard_run
from engine.protocol.words.command_syntax import program_name
from engine.runtime.host.background import BackgroundRun
from engine.runtime.host.imports import enough_memory, imports_only
from engine.runtime.host.interrupt import Interrupt, signals_to
from engine.runtime.host.launch import Launch, torchrun_launch
from engine.runtime.host.time_limit import time_limit
from engine.runtime.start.preflight import check_data, check_weights
from engine.runtime.start.restart import run_of_job

if TYPE_CHECKING:
    from engine.adapters.programs.command import Program
    from engine.runtime.start.bootstrap import RunRequest


def main(words: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    0 for success, 1 for a fault or a diverged run, 2 for a user mistake, 128 + n after signal n, and 85, or what the
    configuration says, if a scheduler's signal or the time limit ended an incomplete run.
    """
    try:
        arguments = parse_arguments(sys.argv[1:] if words is None else words)
        if arguments.command in (
            again := {
                "diagnose": diagnose,
                "eval": evaluate,
                "export": export,
                "predict": predict,
                "profile": profile,
                "redrive": redrive,
            }
        ):
            unwind_on_signals()
            code = again[arguments.command](arguments)
            sys.stdout.flush()
            return code
        if arguments.command in (screens := {"attach": attach, "compare": run_comparison}):
            return screens[arguments.command](arguments)
        if arguments.command == "runs" and wants_screen(arguments):
            return list_on_screen(arguments)
        if arguments.command not in (None, "run", "branch"):
            return run_subcommand(arguments)
        do_without_output()
        with enough_memory():
            return run_program(arguments) if arguments.command == "run" else train(_options(arguments))
    except UserError as error:
        complain(f"error: {escape_control(str(error))}")
        return 2
    except OSError as error:
        if not (reason := why_unwritten(error)):
            raise
        lead_nowhere(1)
        complain(f"error: cannot write to standard output: {reason}")
        return 1
    except KeyboardInterrupt:
        return 130


def train(options: TrainOptions) -> int:
    """Train on a screen or with reports on the console. Raises UserError if training cannot start."""
    launch = torchrun_launch()
    if former := run_of_job(options.runs_dir, launch):
        complain(f"started again: resuming {former.name}")
        options = resuming(options, former)
    if launch is not None and launch.world > 1:
        return _train_together(options, launch)
    baseline = baseline_of(options.runs_dir, options.baseline)
    reason = "" if options.no_ui else why_no_screen()
    if reason:
        complain(f"{reason}: continuing as with --no-ui")
    return _train_headless(options, launch) if options.no_ui or reason else _train_on_screen(options, baseline)


def _train_together(options: TrainOptions, launch: Launch) -> int:
    """Train as one of several ranks: rank 0 has the run's directory and the console, the others have neither."""
    if not options.no_ui:
        raise UserError(f"{launch.world} ranks have no screen: add --no-ui, and open `{program_name()} attach RUN`")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else each lost connection is a page of frames
    if launch.rank == 0:
        return _train_headless(options, launch)
    with signals_to(interrupt := Interrupt(), keep_running=options.keep_running):
        from engine.runtime.ranks.follow import follow  # noqa: PLC0415

        return follow(launch, interrupt)


def _options(arguments: Namespace) -> TrainOptions:
    """Return the options of a training, or of a branch, whose beginning is announced. Raises UserError."""
    if arguments.command != "branch":
        return train_options(arguments)
    from cockpit.cli.commands.comparing.branch import branch_options  # noqa: PLC0415 - a branch alone needs numpy

    return branch_options(arguments)


def _train_headless(options: TrainOptions, launch: Launch | None = None) -> int:
    """Train without a screen. Torch is imported last, so that a mistake in the options is reported quickly."""
    from cockpit.console.notify.notifier import notifying  # noqa: PLC0415
    from cockpit.console.reporting.reporter import ConsoleReporter  # noqa: PLC0415
    from cockpit.preferences.settings import load_settings, settings_file  # noqa: PLC0415

    settings = load_settings(settings_file())
    script = script_of(options)
    resumed = _resumed(options)
    basis = options.branch.run_dir if options.branch else resumed
    name = config_name(options, basis) or ("" if options.task else _default_config())
    config = load_run_config(options, basis, name)
    check_data(config.data.path)
    check_weights(options.init_from)
    interrupt = Interrupt(limit=time_limit(options.time_limit))
    heeded = signals_to(interrupt, keep_running=options.keep_running)
    with heeded, notifying((*options.notify, *settings.notify)) as tell:
        directory = resumed or create_run(options.runs_dir, options.run, stem=run_stem(options, name))
        tell(directory, bool(resumed))
        reporter = ConsoleReporter(directory, quiet=options.quiet, is_resumed=bool(resumed))
        is_final = False
        try:
            reporter.start()
            request = replace(run_request(options, directory, config, script, name), launch=launch)
            code = _run(lambda _: request, name, interrupt)
            is_final = True
        except UserError:
            discard_run(directory)
            raise
        finally:
            reporter.stop(final=is_final)
        end_unbegun(directory, interrupt)
    if code == 1:
        complain_of_failure(directory)
    return code or interrupt.exit_code()


def _train_on_screen(options: TrainOptions, baseline: Path | None) -> int:
    """Train with the screen open.

    The screen opens before the configuration is read; configuration errors are printed after it has closed.
    """
    job = begin_job()
    with imports_only(), lean_imports(keeps_encryption=True):  # a task may read its data over the network
        from cockpit.app.runner import run_on_screen  # noqa: PLC0415
        from cockpit.console.notify.notifier import notifying  # noqa: PLC0415
        from cockpit.preferences.settings import load_settings, settings_file  # noqa: PLC0415
        from engine.tasks.person.defaults import likely_config  # noqa: PLC0415

    settings = load_settings(settings_file())
    script = script_of(options)
    resumed = _resumed(options)
    basis = options.branch.run_dir if options.branch else resumed
    named = config_name(options, basis)
    name = named or ("" if options.task else likely_config())
    check_data(data_named(options))
    check_weights(options.init_from)
    interrupt = Interrupt(limit=time_limit(options.time_limit))

    def request_for(name: str) -> RunRequest:
        config = load_run_config(options, basis, name)
        check_data(config.data.path)
        return run_request(options, directory, config, script, name)

    training = BackgroundRun(lambda: _run(request_for, name, interrupt, is_sure=bool(named or options.task)), interrupt)
    with signals_to(interrupt), notifying((*options.notify, *settings.notify)) as tell:
        directory = resumed or create_run(options.runs_dir, options.run, stem=run_stem(options, name))
        tell(directory, bool(resumed))
        try:
            keep = options.keep_running
            ending = run_on_screen(directory, training, settings, job, keep_running=keep, baseline=baseline)
        except UserError:
            discard_run(directory)
            raise
        end_unbegun(directory, interrupt)
    if ending.code == 2:
        discard_refused(directory, job)
        raise UserError(ending.error)
    sum_up(directory)
    if ending.code == 1:
        complain_of_failure(directory)
    return ending.code or interrupt.exit_code()


def run_program(arguments: Namespace) -> int:
    """Run an untouched program. What reads its tensors, and so needs torch, is imported once its run is there."""
    from cockpit.app.screen_commands.program import run_and_show  # noqa: PLC0415

    def supervise(program: Program, interrupt: Interrupt) -> int:
        from engine.adapters.programs.program import run_program as supervise_child  # noqa: PLC0415

        return supervise_child(program, interrupt)

    return run_and_show(arguments, supervise)


def _resumed(options: TrainOptions) -> Path | None:
    if not options.resume:
        return None
    from cockpit.cli.attached_runs import refuse_resume  # noqa: PLC0415 - not in the first frame of a new run

    directory = find_run(options.runs_dir, options.resume, to_write=True)
    refuse_resume(directory)
    return directory


def _run(request_for: Callable[[str], RunRequest], name: str, interrupt: Interrupt, *, is_sure: bool = True) -> int:
    """Train with the configuration `name`. The journal records the import of torch as an activity.

    Unless `is_sure`, `name` was guessed without torch. It is corrected once torch can look for a GPU.
    """
    from engine.runtime.start.bootstrap import open_recorder, save_config  # noqa: PLC0415

    request = request_for(name)
    interrupt.react_as(request.config.preemption.reactions())
    if interrupt.is_set():
        return interrupt.exit_code()
    with open_recorder(request) as recorder:
        with imports_only():
            from engine.runtime.train import train_with  # noqa: PLC0415

        if not is_sure and (right := _default_config()) != name:
            request = request_for(right)
            save_config(request.directory, request.config)
        return train_with(recorder, request, interrupt)


def redrive(arguments: Namespace) -> int:
    """Reproduce a run and compare it with the original. Torch is imported after the run is found."""
    from cockpit.cli.commands.analysis.reproduce import run_redrive  # noqa: PLC0415
    from engine.runtime.start import late_imports  # noqa: PLC0415

    return run_redrive(arguments, late_imports.reproduce)


def profile(arguments: Namespace) -> int:
    """Profile steps of a run. Torch is imported after the run is found."""
    from cockpit.cli.commands.analysis.profile import run_profile  # noqa: PLC0415
    from engine.runtime.start import late_imports  # noqa: PLC0415

    return run_profile(arguments, late_imports.profile)


def evaluate(arguments: Namespace) -> int:
    """Measure a trained network on a data set. Torch is imported after the network's run is found."""
    from cockpit.cli.commands.trained.evaluate import run_eval  # noqa: PLC0415
    from engine.runtime.start import late_imports  # noqa: PLC0415

    return run_eval(arguments, late_imports.evaluate)


def predict(arguments: Namespace) -> int:
    """Predict the masks of given boxes. Torch is imported after the network's run is found."""
    from cockpit.cli.commands.trained.predict import run_predict  # noqa: PLC0415
    from engine.runtime.start import late_imports  # noqa: PLC0415

    return run_predict(arguments, late_imports.predict)


def export(arguments: Namespace) -> int:
    """Export a trained network. Torch is imported after the run and the packages are found."""
    from cockpit.cli.commands.trained.export import run_export  # noqa: PLC0415
    from engine.runtime.start import late_imports  # noqa: PLC0415

    return run_export(arguments, late_imports.export)


def diagnose(arguments: Namespace) -> int:
    """Diagnose a run's faults. Torch is imported after evidence is found, so that its absence is reported quickly."""
    from cockpit.cli.commands.analysis.diagnose import Instruments, run_diagnose  # noqa: PLC0415
    from engine.runtime.start import late_imports  # noqa: PLC0415

    return run_diagnose(arguments, Instruments(late_imports.diagnose, late_imports.ablate))


def _default_config() -> str:
    """Return the default configuration for this machine's device. Imports torch."""
    from engine.tasks.person.defaults import default_config  # noqa: PLC0415

    return default_config()


if __name__ == "__main__":
    sys.exit(main())

"""The Training Cockpit: train, watch and steer. The only module that imports both the engine and the cockpit."""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the handlers below: no traceback of the imports

import sys

from cockpit.terminal.shell_job import ShellJob, begin_job, wants_job
from cockpit.terminal.standard_streams import complain, lead_nowhere, open_closed_streams, why_unwritten
from engine.host.start_signals import end_on_signals, unwind_on_signals

if __name__ == "__main__":  # before the slow imports
    end_on_signals()
    open_closed_streams()
    if wants_job(sys.argv[1:]):
        begin_job()

import gc
from argparse import Namespace
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.cli.arguments import parse_arguments
from cockpit.cli.dispatch import run_subcommand
from cockpit.cli.options import TrainOptions, data_named, overrides, train_options
from cockpit.terminal.terminal import Terminal, why_no_screen
from cockpit.text.format import escape_control
from engine.errors import UserError
from engine.host.background import BackgroundRun, Ended
from engine.host.interrupt import Interrupt, signals_to
from engine.journal.disk.run_dir import (
    CONFIG_FILE,
    CONSOLE_LOG,
    JOURNAL_FILE,
    create_run,
    discard_run,
    find_run,
    has_journal,
    recorded_config,
)
from engine.protocol.command_syntax import program_name
from engine.runtime.start.preflight import check_data, check_weights

if TYPE_CHECKING:
    from engine.adapters.programs.command import Program
    from engine.config.tree import RunConfig
    from engine.outputs.ablation_report import Ablation, AblationRequest
    from engine.outputs.fault_report import Diagnosis
    from engine.outputs.reproduction_report import ReproductionReport, ReproductionRequest
    from engine.protocol.script import ScriptedCommand
    from engine.runtime.start.bootstrap import RunRequest


def main(words: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    0 for success, 1 for a fault or a diverged run, 2 for a user mistake, 128 + n after signal n.
    """
    try:
        arguments = parse_arguments(sys.argv[1:] if words is None else words)
        if arguments.command in ("diagnose", "redrive"):
            unwind_on_signals()
            return diagnose(arguments) if arguments.command == "diagnose" else redrive(arguments)
        if arguments.command == "attach":
            return attach(arguments)
        if arguments.command == "run":
            with _enough_memory():
                return run_program(arguments)
        if arguments.command:
            return run_subcommand(arguments)
        with _enough_memory():
            return train(train_options(arguments))
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
    reason = "" if options.no_ui else why_no_screen()
    if reason:
        complain(f"{reason}: continuing as with --no-ui")
    return _train_headless(options) if options.no_ui or reason else _train_on_screen(options)


@contextmanager
def _imports_only() -> Generator[None]:
    """Keep garbage collection off: scanning the objects of imports, which stay alive, takes a third of their time.

    Later collections pass over them too.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


@contextmanager
def _enough_memory() -> Generator[None]:
    """Raise UserError where the memory is not even enough to load the packages."""
    try:
        yield
    except (ImportError, MemoryError) as error:
        if isinstance(error, ImportError) and "map segment" not in str(error):
            raise
        raise UserError(
            "the memory is not enough to start: end other programs, or raise the limit (ulimit -v)"
        ) from error


def _train_headless(options: TrainOptions) -> int:
    """Train without a screen. Torch is imported last, so that a mistake in the options is reported quickly."""
    from cockpit.console.reporter import ConsoleReporter  # noqa: PLC0415

    script = _script(options)
    resumed = _resumed(options)
    name = _config_name(options, resumed) or ("" if options.task else _default_config())
    config = _load(options, resumed, name)
    check_data(config.data.path)
    check_weights(options.init_from)
    interrupt = Interrupt()
    with signals_to(interrupt, keep_running=options.keep_running):
        directory = resumed or create_run(options.runs_dir, options.run, stem=_stem(options, name))
        reporter = ConsoleReporter(directory, quiet=options.quiet, is_resumed=bool(resumed))
        is_final = False
        try:
            reporter.start()
            code = _run(lambda _: _request(options, directory, config, script, name), name, interrupt)
            is_final = True
        except UserError:
            discard_run(directory)
            raise
        finally:
            reporter.stop(final=is_final)
        _discard_unbegun(directory, interrupt)
    if code == 1:
        _complain_of_failure(directory)
    return code or interrupt.exit_code()


def _train_on_screen(options: TrainOptions) -> int:
    """Train with the screen open.

    The screen opens before the configuration is read; configuration errors are printed after it has closed.
    """
    job = begin_job()
    with _imports_only():
        from cockpit.app.runner import run_on_screen  # noqa: PLC0415
        from cockpit.preferences.settings import load_settings, settings_file  # noqa: PLC0415
        from engine.tasks.person.defaults import likely_config  # noqa: PLC0415

    settings = load_settings(settings_file())
    script = _script(options)
    resumed = _resumed(options)
    named = _config_name(options, resumed)
    name = named or ("" if options.task else likely_config())
    check_data(data_named(options))
    check_weights(options.init_from)
    interrupt = Interrupt()

    def request_for(name: str) -> RunRequest:
        config = _load(options, resumed, name)
        check_data(config.data.path)
        return _request(options, directory, config, script, name)

    training = BackgroundRun(lambda: _run(request_for, name, interrupt, is_sure=bool(named or options.task)), interrupt)
    with signals_to(interrupt):
        directory = resumed or create_run(options.runs_dir, options.run, stem=_stem(options, name))
        try:
            ending = run_on_screen(directory, training, settings, job, keep_running=options.keep_running)
        except UserError:
            discard_run(directory)
            raise
        _discard_unbegun(directory, interrupt)
    if ending.code == 2:
        _discard_refused(directory, job)
        raise UserError(ending.error)
    _sum_up(directory)
    if ending.code == 1:
        _complain_of_failure(directory)
    return ending.code or interrupt.exit_code()


def run_program(arguments: Namespace) -> int:
    """Run an untouched program, and watch and steer the training in it, on a screen or with reports on the console.

    Raises UserError if there is no such program.
    """
    from engine.adapters.programs.command import Program, command_of  # noqa: PLC0415

    command = command_of(arguments.program)
    reason = "" if arguments.no_ui else why_no_screen()
    if reason:
        complain(f"{reason}: continuing as with --no-ui")
    job = None if arguments.no_ui or reason else begin_job()
    interrupt = Interrupt()
    with signals_to(interrupt, keep_running=arguments.keep_running):
        directory = create_run(arguments.runs_dir, arguments.run_name, stem=Path(command.name).stem)
        training = BackgroundRun(lambda: _run_program(Program(command, directory), interrupt), interrupt)
        try:
            ending = _watch_program(training, directory, arguments, job)
        except UserError:
            discard_run(directory)
            raise
    if ending.code == 2:
        _discard_refused(directory, job)
        raise UserError(ending.error)
    if ending.code == 1:
        _complain_of_failure(directory)
    return ending.code or interrupt.exit_code()


def _run_program(program: Program, interrupt: Interrupt) -> int:
    from engine.adapters.programs.program import run_program as supervise  # noqa: PLC0415

    return supervise(program, interrupt)


def _watch_program(training: BackgroundRun, directory: Path, arguments: Namespace, job: ShellJob | None) -> Ended:
    """Show a program's run until its end, without a `job` on the console, and print its summary."""
    from cockpit.console.reporter import ConsoleReporter  # noqa: PLC0415

    if job is None:
        reporter = ConsoleReporter(directory, quiet=arguments.quiet)
        reporter.start()
        training.start()
        while (ending := training.wait(0.5)) is None:
            pass
        reporter.stop(final=ending.code != 2)
        return ending
    from cockpit.app.runner import run_on_screen  # noqa: PLC0415
    from cockpit.preferences.settings import load_settings, settings_file  # noqa: PLC0415

    settings = load_settings(settings_file())
    shown = run_on_screen(directory, training, settings, job, keep_running=arguments.keep_running)
    if shown.code != 2:
        _sum_up(directory)
    return Ended(shown.code, shown.error)


def _complain_of_failure(directory: Path) -> None:
    """Write why the run failed, and the log file that has more; on a full disk there may be none."""
    from cockpit.session.run_summary import failure_of  # noqa: PLC0415

    log, reason = directory / CONSOLE_LOG, failure_of(directory)
    more = f"; {log} has more" if log.exists() else ""
    complain(f"error: the run failed{f': {escape_control(reason)}' if reason else ''}{more}")


def _script(options: TrainOptions) -> tuple[ScriptedCommand, ...]:
    if not options.script:
        return ()
    from engine.protocol.script import read_script  # noqa: PLC0415

    return read_script(options.script)


def _resumed(options: TrainOptions) -> Path | None:
    if not options.resume:
        return None
    from cockpit.cli.attached_runs import refuse_resume  # noqa: PLC0415 - not in the first frame of a new run

    directory = find_run(options.runs_dir, options.resume, to_write=True)
    refuse_resume(directory)
    return directory


def _config_name(options: TrainOptions, resumed: Path | None) -> str:
    """Return the configuration named by an option or by the resumed run; an empty string for none."""
    return options.config or (str(recorded_config(resumed)) if resumed else "")


def _stem(options: TrainOptions, name: str) -> str:
    """Return the base of a generated run name: the configuration's name, or else the task's."""
    return Path(name or options.task.rpartition(":")[0]).stem


def _load(options: TrainOptions, resumed: Path | None, name: str) -> RunConfig:
    """Return the resolved configuration. A resumed run keeps its data if only another configuration is named."""
    from engine.config.load import load_config, load_for_resume  # noqa: PLC0415

    if resumed and options.config:
        return load_for_resume(name, overrides(options), resumed / CONFIG_FILE)
    return load_config(name, overrides(options))


def _request(
    options: TrainOptions, directory: Path, config: RunConfig, script: tuple[ScriptedCommand, ...], name: str
) -> RunRequest:
    from engine.config.load import usual_config  # noqa: PLC0415
    from engine.config.unusual import departures  # noqa: PLC0415
    from engine.runtime.start.bootstrap import RunRequest  # noqa: PLC0415

    return RunRequest(
        directory=directory,
        config=config,
        device=options.device,
        resume=bool(options.resume),
        init_from=options.init_from,
        script=script,
        unusual=() if options.resume else departures(config, usual_config(name, config)),
    )


def _run(request_for: Callable[[str], RunRequest], name: str, interrupt: Interrupt, *, is_sure: bool = True) -> int:
    """Train with the configuration `name`. The journal records the import of torch as an activity.

    Unless `is_sure`, `name` was guessed without torch. It is corrected once torch can look for a GPU.
    """
    from engine.runtime.start.bootstrap import open_recorder, save_config  # noqa: PLC0415

    request = request_for(name)
    if interrupt.is_set():
        return interrupt.exit_code()
    with open_recorder(request) as recorder:
        with _imports_only():
            from engine.runtime.train import train_with  # noqa: PLC0415

        if not is_sure and (right := _default_config()) != name:
            request = request_for(right)
            save_config(request.directory, request.config)
        return train_with(recorder, request, interrupt)


def _discard_refused(directory: Path, job: ShellJob | None) -> None:
    """Remove the directory of a run that cannot start; after a detach only its log has the reason."""
    if job is None or not job.has_left:
        discard_run(directory)


def _discard_unbegun(directory: Path, interrupt: Interrupt) -> None:
    """Remove the directory of a run that was stopped before it had a journal."""
    if interrupt.is_set() and not (directory / JOURNAL_FILE).exists():
        discard_run(directory)


def _sum_up(directory: Path) -> None:
    from cockpit.console.reporter import ConsoleReporter  # noqa: PLC0415

    ConsoleReporter(directory, quiet=True).stop()


def attach(arguments: Namespace) -> int:
    """Open the screen on a run of any process, without torch. Raises UserError if there is none, or no terminal."""
    directory = find_run(arguments.runs_dir, arguments.run)
    if reason := why_no_screen():
        instead = f"{program_name()} events {directory.name} --follow"
        raise UserError(f"{reason}: without a screen `{instead}` follows a run")
    if not has_journal(directory):
        raise UserError(
            f"the journal of {directory.name!r} is gone: --resume {directory.name} continues from its checkpoints"
        )
    with _imports_only():
        from cockpit.app.attached_app import AttachedApp  # noqa: PLC0415
        from cockpit.app.runner import run_attached  # noqa: PLC0415
        from cockpit.preferences.settings import attach_log, load_settings, settings_file  # noqa: PLC0415

    settings, can_steer = load_settings(settings_file()), not arguments.read_only

    def open_app(terminal: Terminal) -> AttachedApp:
        return AttachedApp(directory, settings=settings, terminal=terminal, can_steer=can_steer)

    return run_attached(open_app, attach_log())


def redrive(arguments: Namespace) -> int:
    """Reproduce a run and compare it with the original. Torch is imported after the run is found."""
    from cockpit.cli.commands.reproduce import run_redrive  # noqa: PLC0415

    def drive(request: ReproductionRequest) -> ReproductionReport:
        from engine.runtime.reproduce.reproduce import reproduce as drive_again  # noqa: PLC0415

        interrupt = Interrupt()
        with signals_to(interrupt):
            return drive_again(request, interrupt)

    return run_redrive(arguments, drive)


def diagnose(arguments: Namespace) -> int:
    """Diagnose a run's faults. Torch is imported after evidence is found, so that its absence is reported quickly."""
    from cockpit.cli.commands.diagnose import Instruments, run_diagnose  # noqa: PLC0415

    def replay(folder: Path, device: str) -> Diagnosis:
        from engine.forensics.offline import diagnose as take_again  # noqa: PLC0415

        return take_again(folder, device)

    def ablate(request: AblationRequest, on_variant: Callable[[str], None]) -> Ablation:
        from engine.forensics.ablation import ablate as take_apart  # noqa: PLC0415

        return take_apart(request, on_variant)

    return run_diagnose(arguments, Instruments(replay, ablate))


def _default_config() -> str:
    """Return the default configuration for this machine's device. Imports torch."""
    from engine.tasks.person.defaults import default_config  # noqa: PLC0415

    return default_config()


if __name__ == "__main__":
    sys.exit(main())

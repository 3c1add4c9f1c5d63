"""The Training Cockpit: train, watch and steer. The only file that sees both the engine and what people look at."""

from __future__ import annotations

import shutil
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.cli.arguments import parse_arguments
from cockpit.cli.options import TrainOptions, overrides, train_options
from cockpit.cli.subcommands import run_subcommand
from engine.errors import UserError
from engine.runs import CONFIG_FILE, CONSOLE_LOG, create_run, find_run

if TYPE_CHECKING:
    from engine.ablation_report import Ablation, AblationRequest
    from engine.forensics_report import Diagnosis


def main(words: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code.

    0 well, 1 a fault or a diverged run, 2 a mistake in what was asked, 128 + n ended by signal n.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words)
    try:
        if arguments.command == "diagnose":
            return diagnose(arguments)
        if arguments.command:
            return run_subcommand(arguments)
        return train(train_options(arguments))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def train(options: TrainOptions) -> int:
    """Train as asked, reporting on the console. Raises UserError where nothing can be trained.

    Torch is imported in here: the readers, and a mistake in the options, must not wait for it.
    """
    from cockpit.console.reporter import ConsoleReporter  # noqa: PLC0415
    from engine.config_files import load_config  # noqa: PLC0415
    from engine.script import read_script  # noqa: PLC0415

    script = read_script(options.script) if options.script else ()
    resumed = find_run(options.runs_dir, options.resume) if options.resume else None
    name = options.config or (str(resumed / CONFIG_FILE) if resumed else _default_config())
    config = load_config(name, overrides(options))
    directory = resumed or create_run(options.runs_dir, options.run, stem=Path(name).stem)
    reporter = ConsoleReporter(directory, quiet=options.quiet)
    code = 2
    try:
        from engine.run import Interrupt, RunRequest, signals_to  # noqa: PLC0415
        from engine.run import train as run_training  # noqa: PLC0415

        request = RunRequest(
            directory=directory,
            config=config,
            device=options.device,
            resume=resumed is not None,
            init_from=options.init_from,
            script=script,
        )
        interrupt = Interrupt()
        with signals_to(interrupt):
            reporter.start()
            code = run_training(request, interrupt)
    finally:
        reporter.stop(final=code != 2)
        if code == 2 and resumed is None:
            shutil.rmtree(directory, ignore_errors=True)
    if code == 1:
        print(f"error: the run failed; {directory / CONSOLE_LOG} says why", file=sys.stderr)
    return code


def diagnose(arguments: Namespace) -> int:
    """Look into a run's faults. Torch is imported once there is evidence: that there is none is said at once."""
    from cockpit.cli.diagnose import Instruments, run_diagnose  # noqa: PLC0415

    def replay(folder: Path, device: str) -> Diagnosis:
        from engine.forensics.diagnosis import diagnose as take_again  # noqa: PLC0415

        return take_again(folder, device)

    def ablate(request: AblationRequest, on_variant: Callable[[str], None]) -> Ablation:
        from engine.forensics.ablation import ablate as take_apart  # noqa: PLC0415

        return take_apart(request, on_variant)

    return run_diagnose(arguments, Instruments(replay, ablate))


def _default_config() -> str:
    """The full network needs a GPU; without one the tiny configuration learns within minutes."""
    from engine.device import default_config  # noqa: PLC0415

    return default_config()


if __name__ == "__main__":
    sys.exit(main())

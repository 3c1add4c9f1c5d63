"""`main.py diagnose RUN`: replay a recorded fault in this process, or rerun steps with each component off in turn.

`main.py` passes in the functions that need torch; they are called only if there is a fault or checkpoint to use.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from cockpit.cli.attached_runs import refuse_diagnose
from cockpit.cli.output import print_json, print_lines, table
from cockpit.terminal.standard_streams import complain
from cockpit.text.format import counted, escape_control, number
from engine.journal.disk.find_run import find_run
from engine.outputs.ablation_report import Ablation, AblationRequest, Variant
from engine.outputs.fault_report import Diagnosis, find_folder, folders_of, read_report
from engine.outputs.fault_text import diagnosis_lines
from engine.protocol.codec import to_json
from engine.protocol.record import record


@record
class Instruments:
    """The functions that need torch: `replay(folder, device)`, and `ablate(request, on_variant)`.

    `on_variant` is called with the name of the component that is off next, empty for none.
    """

    replay: Callable[[Path, str], Diagnosis]
    ablate: Callable[[AblationRequest, Callable[[str], None]], Ablation]


def run_diagnose(arguments: argparse.Namespace, instruments: Instruments) -> int:
    """Print the diagnosis; return 0 if the replay agrees with the record, and after an ablation, else 1.

    Raises UserError if the run, its evidence or the checkpoint is missing or unreadable, or the run is attached.
    """
    run_dir = find_run(arguments.runs_dir, arguments.run)
    refuse_diagnose(run_dir)
    return (_ablate if arguments.ablate else _replay)(run_dir, arguments, instruments)


def _replay(run_dir: Path, arguments: argparse.Namespace, instruments: Instruments) -> int:
    folder = find_folder(run_dir, arguments.step)
    read_report(folder)
    diagnosis = instruments.replay(folder, arguments.device)
    if arguments.json:
        print_json(to_json(diagnosis))
    else:
        print_lines(diagnosis_lines(diagnosis))
    return 0 if diagnosis.same else 1


def _ablate(run_dir: Path, arguments: argparse.Namespace, instruments: Instruments) -> int:
    wanted = arguments.step is not None
    folder = find_folder(run_dir, arguments.step) if wanted or folders_of(run_dir) else None
    request = AblationRequest(run_dir, arguments.steps, arguments.checkpoint, folder, arguments.device)
    result = instruments.ablate(request, lambda name: None if arguments.json else _announce(name))
    if arguments.json:
        print_json(to_json(result))
    else:
        print_lines(ablation_lines(result))
    return 0


def _announce(without: str) -> None:
    complain(f"running with {'every component on' if not without else f'{without} off'} ...")


def ablation_lines(result: Ablation) -> list[str]:
    """Return the table, the component that does most harm first, and the verdict."""
    rows = [["variant", "not finite", "base loss", "norm median", "norm max", "recorded batch"]]
    rows += [_row("all on", result.control), *(_row(f"{v.without} off", v) for v in result.variants)]
    start = f"{counted(result.control.num_steps, 'step')} from step {result.from_step} ({result.checkpoint})"
    return [
        escape_control(start),
        *table(rows),
        escape_control(result.words),
        f"took {result.seconds:.1f} s; the run was not touched",
    ]


def _row(name: str, variant: Variant) -> list[str]:
    return [
        escape_control(name),
        f"{variant.num_not_finite}/{variant.num_steps}",
        number(variant.base_loss),
        number(variant.norm_median),
        number(variant.norm_max),
        variant.bad_batch or "-",
    ]

"""Options of the commands that repeat steps of a run: `diagnose`, `profile` and `redrive`."""

from __future__ import annotations

from typing import Any, Final

from cockpit.cli.commands.training_options import DEVICES
from cockpit.cli.parser import count, examples, positive_count, reader

_PROFILE_EXAMPLES: Final = """
examples:
  main.py profile latest
  main.py profile my-run --steps 50 --device cpu --output my-trace.json
"""


def add_diagnose(commands: Any) -> None:
    """Add the command `diagnose`."""
    diagnose = reader(commands, "diagnose", "name the operation that broke a step, or with --ablate the component")
    diagnose.add_argument("--step", type=count, metavar="N", help="diagnose step N (the newest recorded fault)")
    diagnose.add_argument("--json", action="store_true", help="one JSON object")
    diagnose.add_argument("--device", choices=DEVICES, default="auto", help="where to compute (auto)")
    diagnose.add_argument("--ablate", action="store_true", help="rerun steps with each component off in turn")
    diagnose.add_argument(
        "--steps", type=positive_count, default=20, metavar="K", help="with --ablate: number of steps (20)"
    )
    diagnose.add_argument("--checkpoint", default="", metavar="NAME", help="with --ablate: its start (last-good.pt)")


def add_profile(commands: Any) -> None:
    """Add the command `profile`."""
    profile = reader(commands, "profile", "profile some steps from a checkpoint: torch's table, and a trace file")
    profile.epilog = examples(_PROFILE_EXAMPLES)
    profile.add_argument("--steps", type=positive_count, default=20, metavar="N", help="number of steps (20)")
    profile.add_argument("--checkpoint", default="", metavar="NAME", help="its start (last-good.pt)")
    profile.add_argument("--device", choices=DEVICES, default="auto", help="where to compute (auto)")
    profile.add_argument("--output", default="", metavar="FILE", help="the trace (trace.json in the run's directory)")


def add_redrive(commands: Any) -> None:
    """Add the command `redrive`."""
    redrive = reader(commands, "redrive", "reproduce a run with its recorded commands, and compare bit by bit")
    redrive.add_argument("--run", dest="run_name", default="", metavar="NAME", help="the new run's name")
    redrive.add_argument("--json", action="store_true", help="one JSON object")

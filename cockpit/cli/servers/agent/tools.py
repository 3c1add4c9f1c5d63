"""The table of tools, with the text that tells a model what each is for."""

from __future__ import annotations

from typing import Final

from cockpit.cli.servers.agent import calls
from cockpit.cli.servers.agent.calls import AgentTool
from cockpit.cli.servers.agent.reading import events_of, list_runs_of, metrics_of, status_of, wait_for
from cockpit.cli.servers.agent.steering import diagnose_in_child, send_to
from engine.protocol.words.command_syntax import COMMAND_WORDS, usage

INSTRUCTIONS: Final = (
    "These tools watch and steer trainings of neural networks. Begin with list_runs or status. Read metrics without "
    "keys for an overview, then the keys that matter. Wait for a condition instead of asking repeatedly. Before you "
    "send a command, predict it with dry_run; then send it with a reason. The engine bounds every command: an outcome "
    "is applied, clamped (changed to an allowed value) or refused, with the reason. Non-finite steps never change the "
    "weights. The resources manual://... are the pages of the manual."
)

_COMMANDS: Final = "\n".join(f"- {usage(name)}: {word.summary}" for name, word in COMMAND_WORDS.items())

TOOLS: Final[tuple[AgentTool, ...]] = (
    AgentTool(
        "list_runs",
        "List runs",
        "List the runs, the latest first: state, step, phase, best score, number of alerts, and whether a process "
        "trains it now (`alive`).",
        calls.ListRunsArguments,
        list_runs_of,
    ),
    AgentTool(
        "status",
        "Status of a run",
        "Return everything about a run's present state: what it does (`state`, `doing`), step, epoch, phase, the "
        "checks of the gate to the next phase, learning rate, loss, scores, active components, checkpoints, counts of "
        "skipped steps and alerts. A run whose process has disappeared is `failed`, with the reason.",
        calls.StatusArguments,
        status_of,
    ),
    AgentTool(
        "metrics",
        "Metrics of a run",
        "Return recorded metrics: without `keys` an overview of every metric, with `keys` one list of values per key, "
        "next to the list `step`. A value that a step does not have is null; a value that is not finite is the text "
        "'NaN', 'Infinity' or '-Infinity'. `left_out` says how many rows did not fit.",
        calls.MetricsArguments,
        metrics_of,
    ),
    AgentTool(
        "events",
        "Events of a run",
        "Return the journal of a run: commands with their outcome, sender and reason, phases, validations, "
        "checkpoints, rollbacks and alerts, each with a sentence (`text`). Alerts with the same cause share a number "
        "(`alert`). Pass `newest_id` as `since` to get only what is new.",
        calls.EventsArguments,
        events_of,
    ),
    AgentTool(
        "wait",
        "Wait for a condition",
        "Wait until a condition on a run holds, the run ends, or the time is up, whichever is first. `outcome` is "
        "'holds', 'ended' or 'timed out'; `part` is the comparison that held; `values` are those of the condition. "
        "Every new step is checked, so that a short-lived value is not missed.",
        calls.WaitArguments,
        wait_for,
    ),
    AgentTool(
        "diagnose",
        "Diagnose a fault",
        "Replay a step that was not finite, in another process, and name the operation, module, loss term and samples "
        "that broke it. It takes seconds to minutes, and does not touch the run. It fails without a recorded fault.",
        calls.DiagnoseArguments,
        diagnose_in_child,
    ),
    AgentTool(
        "send",
        "Steer a run",
        "Send a command to a running run and return its outcome: `status` is applied, clamped (the engine used an "
        "allowed value, see `reason`), refused, or null if there was no answer in time. With `dry_run` only predict "
        "it. You are recorded as the sender. The commands and their arguments:\n" + _COMMANDS,
        calls.SendArguments,
        send_to,
        changes=True,
    ),
)

"""Tools that read runs: each answer is bounded and says how much was left out."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.cli.commands.reading.events import checked_kinds, of_kinds
from cockpit.cli.commands.reading.status import read_status
from cockpit.cli.commands.reading.wait import wait_until
from cockpit.cli.metric_names import known_keys
from cockpit.cli.output import entry_to_json, float_values
from cockpit.cli.servers.agent.calls import (
    Caller,
    EventsArguments,
    ListRunsArguments,
    MetricsArguments,
    StatusArguments,
    WaitArguments,
)
from cockpit.session.incidents.incidents import Incidents
from cockpit.text.event_text import sentence
from engine.errors import UserError
from engine.journal.disk.find_run import list_runs
from engine.journal.disk.run_dir import has_journal
from engine.journal.reader import JournalReader
from engine.protocol.codec import Json

MAX_NUMBERS: Final = 4_000
"""Maximum count of values in one answer of `metrics`, whatever its number of rows."""

MAX_ITEMS: Final = 100
"""Maximum length of a list in a status, such as that of the excluded samples."""

MAX_METRICS: Final = 300
"""Maximum count of metrics in an overview."""

_IN_LIST: Final = ("run", "state", "reason", "alive", "step", "total_steps", "phase", "best_score", "alerts", "started")


def list_runs_of(arguments: ListRunsArguments, caller: Caller) -> dict[str, Json]:
    """Return the latest runs with their most important facts."""
    runs = [path for path in list_runs(caller.runs_dir) if has_journal(path)]
    listed: list[Json] = [_in_short(path) for path in runs[: arguments.last]]
    return {"runs": listed, "left_out": max(len(runs) - arguments.last, 0)}


def _in_short(path: Path) -> dict[str, Json]:
    try:
        status = read_status(path)
    except UserError as error:
        return {"run": path.name, "state": "unreadable", "reason": str(error)}
    return {key: status[key] for key in _IN_LIST if key in status}


def status_of(arguments: StatusArguments, caller: Caller) -> dict[str, Json]:
    """Return what `status --json` prints, with long lists cut off."""
    return {key: _shortened(value) for key, value in read_status(caller.find(arguments.run)).items()}


def _shortened(value: Json) -> Json:
    if not isinstance(value, list) or len(value) <= MAX_ITEMS:
        return value
    return [*value[:MAX_ITEMS], f"left out {len(value) - MAX_ITEMS} more"]


def metrics_of(arguments: MetricsArguments, caller: Caller) -> dict[str, Json]:
    """Return an overview of all metrics, or rows of some."""
    path, first = caller.find(arguments.run), None if arguments.since is None else arguments.since + 1
    with closing(JournalReader(path)) as reader:
        known = reader.metric_names(of_layers=arguments.keys is not None)
        if arguments.keys is None:
            series = reader.series(known[:MAX_METRICS], first=first)
            overview: dict[str, Json] = {
                key: _overview(series.steps[present], series.values[key][present])
                for key, present in series.present.items()
            }
            left_out = len(known) - len(overview)
            text = f"left out {left_out} metrics: {', '.join(known[MAX_METRICS:][:MAX_ITEMS])}" if left_out else ""
            return {"run": path.name, "overview": overview, "left_out": text}
        keys = tuple(dict.fromkeys(known_keys(arguments.keys, known, path.name)))
        series = reader.series(keys, first=first)
    most = max(min(arguments.last, MAX_NUMBERS // len(keys)), 1)
    count = len(series.steps)
    kept = slice(max(count - most, 0), None) if arguments.since is None else slice(0, most)
    columns: dict[str, Json] = {key: float_values(series.values[key][kept], series.present[key][kept]) for key in keys}
    left_out = max(count - most, 0)
    where = "older" if arguments.since is None else "newer"
    return {
        "run": path.name,
        "step": series.steps[kept].tolist(),
        **columns,
        "left_out": f"left out {left_out} {where} rows" if left_out else "",
    }


def _overview(steps: NDArray[np.int64], values: NDArray[np.float32]) -> dict[str, Json]:
    finite = values[np.isfinite(values)]
    last = float_values(values[-1:], np.ones(min(values.size, 1), np.bool_))
    ends: list[Json] = [float(f"{end:.6g}") for end in (finite.min(), finite.max())] if finite.size else [None, None]
    return {
        "last": last[0] if last else None,
        "last_step": int(steps[-1]) if steps.size else None,
        "min": ends[0],
        "max": ends[1],
        "points": int(values.size),
        "not_finite": int(values.size - finite.size),
    }


def events_of(arguments: EventsArguments, caller: Caller) -> dict[str, Json]:
    """Return events with their sentences, those after `since` or the newest. Raises UserError."""
    kinds = checked_kinds(arguments.kinds)
    path = caller.find(arguments.run)
    with closing(JournalReader(path)) as reader:
        spec, entries = reader.spec(), reader.events()
    incidents = Incidents()
    incidents.add(entries)
    wanted = [entry for entry in of_kinds(entries, kinds) if entry.id > (arguments.since or 0)]
    is_forward = arguments.since is not None
    kept = wanted[: arguments.last] if is_forward else wanted[-arguments.last :]
    left_out = len(wanted) - len(kept)
    newest = entries[-1].id if entries else 0
    listed: list[Json] = [
        {**entry_to_json(entry), "text": sentence(entry.event, spec), "alert": incidents.numbers.get(entry.id)}
        for entry in kept
    ]
    return {
        "run": path.name,
        "events": listed,
        "newest_id": kept[-1].id if is_forward and left_out else newest,
        "left_out": f"left out {left_out} {'newer' if is_forward else 'older'} events" if left_out else "",
    }


def wait_for(arguments: WaitArguments, caller: Caller) -> dict[str, Json]:
    """Wait until the condition holds, the run ends or the time is up."""
    path = caller.find(arguments.run)
    found, _ = wait_until(path, arguments.until, arguments.timeout, caller.is_cancelled)
    return {"run": path.name, **found.to_json()}

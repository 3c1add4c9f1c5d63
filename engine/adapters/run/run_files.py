"""The files of an attached run: lock, journal, configuration and log, without touching the program's own logging."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from engine.adapters.capabilities import resume_of
from engine.adapters.hooks.survive import say
from engine.errors import UserError
from engine.journal.disk.new_run import start_over
from engine.journal.disk.run_dir import CONFIG_FILE, CONSOLE_LOG, claim_run, hold_run
from engine.journal.task_meta import ATTACHED, HAS_PREVIEWS, RECORDED_FROM, TASK, Attached
from engine.journal.writer import JournalWriter
from engine.protocol.codec import to_json
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.wire import spec_to_json
from engine.runtime.recorder import RunRecorder


@record
class OpenFiles:
    """The recorder and the log of an open run; `close` writes the rest and unlocks the directory."""

    recorder: RunRecorder
    log: logging.Logger
    files: ExitStack

    def close(self) -> None:
        """Close the journal and the log, and unlock the directory."""
        self.files.close()


def open_files(directory: Path, state: RunState, described: Mapping[str, Any], *, is_resumed: bool) -> OpenFiles:
    """Lock the run, begin a session of its journal, and record its description.

    Raises UserError if the run is in use or cannot be written.
    """
    with ExitStack() as files:
        lock = hold_run(directory)
        files.callback(lock.release)
        claim_run(directory, lock)
        if not is_resumed:
            start_over(directory)
        log = _log_to(directory / CONSOLE_LOG, files)
        journal = JournalWriter(directory)
        journal.start()
        recorder = RunRecorder(state, journal)
        files.callback(recorder.close)
        recorder.start_from(state)
        journal.set_meta(TASK, spec_to_json(state.spec))
        journal.set_meta(HAS_PREVIEWS, False)
        adapter, program = described["adapter"], described["program"]
        journal.set_meta(ATTACHED, to_json(Attached(adapter, program, resume_of(adapter, program))))
        _save_config(directory, described)
        return OpenFiles(recorder, log, files.pop_all())


class _RunLog(logging.FileHandler):
    """The log of one run."""


def _log_to(path: Path, files: ExitStack) -> logging.Logger:
    """Return the cockpit's own logger, which writes to `path`. The root logger belongs to the program."""
    handler = _RunLog(path, delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    log = logging.getLogger("engine")
    log.addHandler(handler)
    log.propagate = False

    def end() -> None:
        log.removeHandler(handler)
        # Another run of this process may still be open, whichever began first.
        log.propagate = not any(isinstance(other, _RunLog) for other in log.handlers)
        handler.close()

    files.callback(end)
    return log


def _save_config(directory: Path, described: Mapping[str, Any]) -> None:
    """Write the user's configuration as plain YAML. Raises UserError if writing fails."""
    head = f"{RECORDED_FROM}{described['program']}, which trained this run.\n"
    text = yaml.safe_dump(plain(described["config"]), sort_keys=False, allow_unicode=True)
    try:
        (directory / CONFIG_FILE).write_text(head + text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {directory / CONFIG_FILE}: {error.strerror}") from error


def plain(value: Any) -> Any:
    """Return `value` in types that YAML can hold; all others become text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool):
        return value
    kind = next((kind for kind in (int, float) if isinstance(value, kind)), str)
    return kind(value)  # without its subclass, such as numpy.float64


def say_recorded_in(directory: Path) -> None:
    """Write on the error stream where a run is recorded, and how to read it."""
    say(f"recording {directory}; from another terminal: training-cockpit status {directory}")


def newest_error() -> BaseException | None:
    """Return the exception that Python reported last: at exit, the one that ended the program."""
    return getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)


def error_since(earlier: BaseException | None) -> BaseException | None:
    """Return the exception that ended the program, if there is one besides the `earlier` one. For use at exit."""
    error = newest_error()
    return None if error is earlier else error


def program_of() -> str:
    """Return the name of the running program, such as 'train.py', or 'package' for `python -m package`."""
    path = Path(sys.argv[0])
    name = path.parent.name if path.name == "__main__.py" else path.name
    return name if name not in ("", "-c") else "an interactive session"

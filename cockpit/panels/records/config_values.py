"""The resolved config of a run as a screen needs it: values by their keys, read when the file changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.errors import UserError
from engine.journal.disk.run_dir import CONFIG_FILE


class ConfigValues:
    """`config.yaml` of a run, read at the first question and again after it has changed."""

    def __init__(self) -> None:
        self.notice = ""
        """Why there are no values; '' where there are."""
        self._stamp: tuple[Path, int, int] | None = None
        self._values: Mapping[str, object] = {}

    def all(self, run_dir: Path) -> Mapping[str, object]:
        """Every value by its dotted key, in the order of the file; empty where it cannot be read, see `notice`."""
        path = run_dir / CONFIG_FILE
        try:
            found = path.stat()
        except OSError:
            self.notice, self._values, self._stamp = "there is no config.yaml yet", {}, None
            return self._values
        stamp = (path, found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._stamp = stamp
            self._values, self.notice = _read(path)
        return self._values

    def number(self, run_dir: Path, key: str) -> float | None:
        """The number at `key`; None where there is none."""
        value = self.all(run_dir).get(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _read(path: Path) -> tuple[Mapping[str, object], str]:
    # YAML costs 30 ms, which a first frame does not have to spare.
    from engine.config.yaml_source import read_settings  # noqa: PLC0415

    try:
        settings = read_settings(path.read_text(encoding="utf-8-sig"), path.name)
    except (OSError, UnicodeDecodeError, UserError) as error:
        return {}, f"config.yaml cannot be read: {error}"
    return {".".join(keys): setting.value for keys, setting in settings.items()}, ""

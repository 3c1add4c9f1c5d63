"""The resolved config of a run: values by dotted key, read again when the file changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.errors import UserError
from engine.journal.disk.run_dir import CONFIG_FILE


class ConfigValues:
    """Reader of a run's `config.yaml`, which is read on demand and after each change."""

    def __init__(self) -> None:
        self.notice = ""
        """Reason for missing values; empty string otherwise."""
        self._stamp: tuple[Path, int, int] | None = None
        self._values: Mapping[str, object] = {}

    def all(self, run_dir: Path) -> Mapping[str, object]:
        """Return every value by its dotted key, in the order of the file; empty if unreadable, see `notice`."""
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
        """Return the number at `key`, or `None`."""
        value = self.all(run_dir).get(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _read(path: Path) -> tuple[Mapping[str, object], str]:
    # Importing YAML takes 30 ms, too long for the first frame.
    from engine.config.files.yaml_source import read_settings  # noqa: PLC0415

    try:
        settings = read_settings(path.read_text(encoding="utf-8-sig"), path.name)
    except (OSError, UnicodeDecodeError, UserError) as error:
        return {}, f"config.yaml cannot be read: {error}"
    # An empty config is a value without a key.
    return {".".join(keys): setting.value for keys, setting in settings.items() if keys}, ""

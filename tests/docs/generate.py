"""Write the generated parts of the manual: `python -m tests.docs.generate` after a change of keys, commands or faults.

The pages are files, so that they can be read and searched anywhere and no page waits for pydantic. A test compares them
with what this writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cockpit.preferences.keymap import GROUPS, KEYS, KeyBinding, shown_key
from engine.config.keys import ConfigKey, config_keys
from engine.protocol.command_syntax import COMMAND_WORDS, usage
from engine.tasks.person.config import PersonConfig
from tests.conftest import ROOT
from tests.faults.table import rows

DOCS: Final = ROOT / "cockpit" / "docs"
_FENCE: Final = "```"


def config_row(key: ConfigKey) -> str:
    """Return a key's row: name, meaning, what it may be, default."""
    default = '""' if key.default == "" else str(key.default).lower() if isinstance(key.default, bool) else key.default
    number = f"{default:g}" if isinstance(default, float) else str(default)
    return f"| `{key.name}` | {key.meaning} | {key.expected} | `{number}` |"


def key_row(key: KeyBinding) -> str:
    """Return a key's row: the keys, the action's name in a settings file, the group, what it does."""
    pressed = " ".join(f"`{shown_key(name)}`" for name in key.keys)
    return f"| {pressed} | `{key.action}` | {GROUPS[key.group]} | {key.help} |"


def _config_rows() -> list[str]:
    return [config_row(key) for key in config_keys(PersonConfig).values()]


def _command_rows() -> list[str]:
    return [f"| `{usage(name)}` | {word.summary} |" for name, word in COMMAND_WORDS.items()]


TABLES: Final[Mapping[tuple[str, str], Callable[[], list[str]]]] = {
    ("configuration", "| key | meaning | value | default |"): _config_rows,
    ("keys", "| key | action | group | what it does |"): lambda: list(map(key_row, KEYS)),
    ("commands", "| send command | what it does |"): _command_rows,
    ("reliability", "| fault | what happens |"): lambda: list(rows()),
}
"""The rows of each generated table by page and header line."""

FILES: Final = {("your-own-model", "```python"): DOCS / "examples" / "digits.py"}
"""The file that the first code block after a line shows, by page and that line."""


def generated(page: str) -> str:
    """Return the text of `page` with its generated parts as they have to be."""
    lines = (DOCS / f"{page}.md").read_text(encoding="utf-8").splitlines()
    for (name, header), make in TABLES.items():
        if name == page:
            start = lines.index(header) + 2
            end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
            lines[start:end] = make()
    for (name, opening), file in FILES.items():
        if name == page:
            start = lines.index(opening) + 1
            lines[start : lines.index(_FENCE, start)] = file.read_text(encoding="utf-8").splitlines()
    return "\n".join(lines) + "\n"


def generated_pages() -> list[Path]:
    """Return the files with generated parts."""
    return [DOCS / f"{page}.md" for page in sorted({page for page, _ in (*TABLES, *FILES)})]


def main() -> None:
    """Rewrite every page with generated parts."""
    for path in generated_pages():
        path.write_text(generated(path.stem), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Write the generated parts of the manual and the base config: run `python -m tests.docs.generate`.

Run it after a change of keys, commands, faults, configuration keys, loss terms or components.

The pages are files, so that they can be read and searched anywhere and no page waits for pydantic. A test compares them
with what this writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cockpit.preferences.key_binding import GROUPS, KeyBinding
from cockpit.preferences.key_names import shown_key
from cockpit.preferences.keymap import KEYS
from cockpit.preferences.run_keys import RUN_KEYS
from engine.adapters.capabilities import ADAPTERS
from engine.config.files.yaml_source import read_settings
from engine.config.keys import ConfigKey, config_keys, section_keys
from engine.config.supervision_sections import AlertRule
from engine.protocol import commands as c
from engine.protocol.words.command_syntax import COMMAND_WORDS, usage
from engine.tasks.person.config import PersonConfig
from tests.conftest import ROOT
from tests.faults.table import rows

DOCS: Final = ROOT / "cockpit" / "docs"
EXAMPLES: Final = DOCS / "examples"
BASE_CONFIG: Final = ROOT / "configs" / "rgb_hierarchical_unet_v2_attention_r64m64.yaml"
_FENCE: Final = "```"
_OPENINGS: Final = ("```python", "```bash")
_OP_OF: Final = {
    "lower-lr": c.ScaleLr.op,
    "raise-lr": c.ScaleLr.op,
    "guardian": c.SetGuardian.op,
    "autopilot": c.SetAutopilot.op,
}
"""The `op` of command words that differ from it."""


def config_row(key: ConfigKey) -> str:
    """Return a key's row: name, meaning, what it may be, default."""
    default = '""' if key.default == "" else str(key.default).lower() if isinstance(key.default, bool) else key.default
    number = f"{default:g}" if isinstance(default, float) else str(default)
    return f"| `{key.name}` | {key.meaning} | {key.expected} | `{number}` |"


def rule_row(key: ConfigKey) -> str:
    """Return the row of a rule's key; a key without a default is required."""
    return config_row(key).replace("`None`", "required")


def key_row(key: KeyBinding) -> str:
    """Return a key's row: the keys, the action's name in a settings file, the group, what it does."""
    pressed = " ".join(f"`{shown_key(name)}`" for name in key.keys)
    return f"| {pressed} | `{key.action}` | {GROUPS[key.group]} | {key.help} |"


def run_key_row(key: KeyBinding) -> str:
    """Return the row of a key of the list of runs, which has one group."""
    pressed = " ".join(f"`{shown_key(name)}`" for name in key.keys)
    return f"| {pressed} | `{key.action}` | {key.help} |"


def _config_rows() -> list[str]:
    return [config_row(key) for key in config_keys(PersonConfig).values()]


def _rule_keys() -> list[ConfigKey]:
    return list(section_keys(AlertRule).values())


def _command_rows() -> list[str]:
    return [f"| `{usage(name)}` | {word.summary} |" for name, word in COMMAND_WORDS.items()]


def _ability_rows() -> list[str]:
    """Return the rows of what each adapter can do: commands that the same adapters have share a row."""
    by_answers: dict[tuple[str, ...], list[str]] = {}
    for word, op in ops_of_words().items():
        answers = tuple("-" if op in adapter.lacks else "yes" for adapter in ADAPTERS)
        by_answers.setdefault(answers, []).append(f"`{word}`")
    abilities = {", ".join(words): answers for answers, words in by_answers.items() if "yes" in answers}
    for ability in ADAPTERS[0].offers:
        abilities[ability] = tuple(adapter.offers[ability] for adapter in ADAPTERS)
    return [f"| {ability} | {' | '.join(answers)} |" for ability, answers in abilities.items()]


def _reason_rows() -> list[str]:
    """Return the rows of the commands that adapters refuse: those with the same reason share a row."""
    words: dict[tuple[str, str], list[str]] = {}
    for word, op in ops_of_words().items():
        reasons: dict[str, list[str]] = {}
        for adapter in ADAPTERS:
            if op in adapter.lacks:
                reasons.setdefault(adapter.lacks[op], []).append(adapter.title)
        for reason, titles in reasons.items():
            where = "all" if len(titles) == len(ADAPTERS) else ", ".join(titles)
            words.setdefault((reason, where), []).append(f"`{word}`")
    return [f"| {', '.join(names)} | {where} | {reason} |" for (reason, where), names in words.items()]


def ops_of_words() -> dict[str, str]:
    """Return the `op` of each command word."""
    return {word: _OP_OF.get(word, word) for word in COMMAND_WORDS}


TABLES: Final[Mapping[tuple[str, str], Callable[[], list[str]]]] = {
    ("configuration", "| key | meaning | value | default |"): _config_rows,
    ("guardian", "| key of a rule | meaning | value | default |"): lambda: list(map(rule_row, _rule_keys())),
    ("keys", "| key | action | group | what it does |"): lambda: list(map(key_row, KEYS)),
    ("keys", "| key in the list | action | what it does |"): lambda: list(map(run_key_row, RUN_KEYS)),
    ("commands", "| send command | what it does |"): _command_rows,
    ("own-loop", "| | no line | own loop | Hugging Face | Lightning |"): _ability_rows,
    ("own-loop", "| command | refused in | reason, and what to use instead |"): _reason_rows,
    ("reliability", "| fault | what happens |"): lambda: list(rows()),
}
"""The rows of each generated table by page and header line."""

FILES: Final = {
    ("your-own-model", "## A complete example"): EXAMPLES / "digits.py",
    ("own-loop", "### An untouched program"): EXAMPLES / "untouched_program.py",
    ("own-loop", "### A loop"): EXAMPLES / "own_loop.py",
    ("own-loop", "### A loop in several processes"): EXAMPLES / "own_loop_ranks.py",
    ("own-loop", "### A Hugging Face trainer"): EXAMPLES / "huggingface_trainer.py",
    ("own-loop", "### A Lightning trainer"): EXAMPLES / "lightning_trainer.py",
    ("recipes", "## Train under a scheduler"): EXAMPLES / "slurm_job.sh",
}
"""The file that the first block of code after a heading shows, by page and heading."""


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
            begin = lines.index(opening)
            start = next(i for i in range(begin, len(lines)) if lines[i] in _OPENINGS) + 1
            lines[start : lines.index(_FENCE, start)] = file.read_text(encoding="utf-8").splitlines()
    return "\n".join(lines) + "\n"


def base_config() -> str:
    """Return the base config with every key: its meaning above, its range behind; a section keeps its comment."""
    text = BASE_CONFIG.read_text(encoding="utf-8")
    lines, openings = text.splitlines(), _openings(text)
    values = {
        ".".join(path): lines[setting.line - 1].partition(":")[2].partition("  # ")[0].strip()
        for path, setting in read_settings(text, BASE_CONFIG.name).items()
    }
    made = lines[: lines.index("")]
    opened: set[str] = {""}
    for name, key in config_keys(PersonConfig).items():
        parts = name.split(".")
        sections = [".".join(parts[:depth]) for depth in range(len(parts))]
        for section in sections:
            if section not in opened:
                opened.add(section)
                made += openings.get(section) or [*_gap(section), f"{_indent(section)}{section.rpartition('.')[2]}:"]
        indent = "  " * (len(parts) - 1)
        gap = _gap(name) if len(parts) == 1 else []
        made += [
            *gap,
            f"{indent}# {key.meaning}",
            f"{indent}{parts[-1]}: {values.get(name) or _value(key)}  # {key.expected}",
        ]
    return "\n".join(made) + "\n"


def _openings(text: str) -> dict[str, list[str]]:
    """Return the lines that open each section of a config, with the comment above them, by the section's name."""
    found: dict[str, list[str]] = {}
    comment: list[str] = []
    parts: list[str] = []
    for line in text.splitlines():
        if line.strip().startswith("#") or not line:
            comment = [*([] if not line else comment), line]
            continue
        name, value = (part.strip() for part in line.split(":", 1))
        parts = [*parts[: (len(line) - len(line.lstrip())) // 2], name]
        if not value:
            found[".".join(parts)] = [*comment, line]
        comment = []
    return found


def _indent(name: str) -> str:
    return "  " * name.count(".")


def _gap(name: str) -> list[str]:
    return [] if "." in name else [""]


def _value(key: ConfigKey) -> str:
    return json.dumps(key.default)


def generated_pages() -> list[Path]:
    """Return the files with generated parts."""
    return [DOCS / f"{page}.md" for page in sorted({page for page, _ in (*TABLES, *FILES)})]


def main() -> None:
    """Rewrite every page with generated parts, and the base config."""
    BASE_CONFIG.write_text(base_config(), encoding="utf-8")
    for path in generated_pages():
        path.write_text(generated(path.stem), encoding="utf-8")


if __name__ == "__main__":
    main()

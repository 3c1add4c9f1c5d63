"""Alert rules in a configuration: read, written, and one sentence for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.files.yaml_text import dump_config
from engine.config.load import load_config, read_resolved
from engine.errors import UserError

RULES = """
alerts:
  - {name: cool, when: "grad_norm>100 or nan>5", for_steps: 3, command: lower-lr 0.5, severity: error}
  - name: late
    when: step>1000
    once: true
"""


def test_alert_rules_are_read_and_written(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"extends: tiny\n{RULES}", encoding="utf-8")
    config = load_config(str(file))
    assert [rule.name for rule in config.alerts] == ["cool", "late"]
    assert (config.alerts[0].for_steps, config.alerts[0].severity, config.alerts[1].once) == (3, "error", True)
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_config(config), encoding="utf-8")
    assert read_resolved(resolved) == config
    assert load_config("tiny").alerts == ()


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ("3", "alerts must be a list of rules, not 3"),
        ("[3]", "alerts, rule 1 must be a mapping with name and when, not 3"),
        ("[{name: a}]", "alerts, rule 1 has no when"),
        ("[{name: a, when: loss>1, stepz: 3}]", "alerts, rule 1: there is no key 'stepz'; "),
        ("[{name: a, when: loss>1, for_step: 3}]", "rule 1: there is no key 'for_step'; did you mean 'for_steps'?"),
        ("[{name: a, when: los>1}]", "rule 1: when: the condition 'los>1': there is no 'los': did you mean 'loss'?"),
        ("[{name: a, when: loss>1, for_steps: x}]", "for_steps must be a whole number of at least 1, not the text 'x'"),
        ("[{name: a b, when: loss>1}]", "name must be one word of letters, digits, - and _, not the text 'a b'"),
        ("[{name: a, when: loss>1, severity: bad}]", "severity must be one of info, warning, error, not the text"),
        (
            "[{name: a, when: loss>1, command: lower-l 0.5}]",
            "rule 1: command: no command is called 'lower-l': did you mean 'lower-lr'?",
        ),
        (
            "[{name: a, when: loss>1, command: lower-lr 2}]",
            "command: cannot read 'lower-lr 2' (the factor that lowers must be below 1)",
        ),
        ("[{name: a, when: loss>1}, {name: a, when: loss>2}]", "alerts: two rules are called 'a'"),
    ],
)
def test_a_wrong_alert_rule_is_one_sentence(tmp_path: Path, rules: str, sentence: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"extends: tiny\nalerts: {rules}\n", encoding="utf-8")
    for load in (lambda: load_config(str(file)), lambda: load_config("tiny", [f"alerts={rules}"])):
        with pytest.raises(UserError) as raised:
            load()
        assert sentence in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(UserError, match=r"mine\.yaml:2: alerts"):
        load_config(str(file))

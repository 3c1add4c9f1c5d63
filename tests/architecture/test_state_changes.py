"""A run's state changes in few places: `evolve` decides, the recorder measures, a start or a reader makes one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from tests.architecture.sources import ROOT, program_files, walk

MAKERS: Final = {
    "engine/protocol/record.py": {"__setattr__"},
    "engine/protocol/state.py": {"replace"},
    "engine/protocol/evolve.py": {"with_decided", "with_measured"},
    "engine/protocol/wire.py": {"replace"},
    "engine/runtime/ranks/follower.py": {"with_measured"},
    "engine/runtime/recorder.py": {"with_measured"},
    "engine/runtime/train.py": {"with_measured"},
    "engine/runtime/start/bootstrap.py": {"RunState"},
    "engine/runtime/start/changed_config.py": {"with_decided"},
    "engine/runtime/start/resume.py": {"replace", "with_decided", "with_measured"},
    "engine/adapters/loop_options.py": {"RunState", "replace", "with_decided", "with_measured"},
    "engine/adapters/programs/program.py": {"RunState"},
    "engine/adapters/run/attached_records.py": {"with_decided"},
    "engine/forensics/ablation.py": {"with_measured"},
    "engine/forensics/profile.py": {"with_measured"},
    "engine/adapters/trainers/training.py": {"RunState", "replace", "with_decided", "with_measured"},
    "cockpit/session/following/state_decoder.py": {"replace"},
    "cockpit/cli/commands/reading/status.py": {"RunState"},
}
"""How each module may make a state: the declaration of records, `state`, `wire` and the decoder for others, the start
of a run for its first one, an ablation, a profile, a rank without a journal, and the status of a run without one for a
state that is recorded nowhere."""

MAKERS_OF_STATES: Final = ("with_decided", "with_measured", "RunState", "__setattr__")
RETURN_STATES: Final = {"state_from_text", "state_from_json", "initial_state", "evolve", "with_decided"}


def test_only_these_modules_make_a_state_out_of_another():
    made = {str(path.relative_to(ROOT)): makers(path.read_text(encoding="utf-8")) for path in program_files()}
    assert {name: found for name, found in made.items() if found} == MAKERS


def test_only_the_recorder_turns_measurements_and_events_into_the_state_of_the_run():
    writers = {
        str(path.relative_to(ROOT))
        for path in program_files()
        if path.is_relative_to(ROOT / "engine") and "record_state(" in path.read_text(encoding="utf-8")
    }
    assert writers == {"engine/journal/writer.py", "engine/runtime/recorder.py"}


def test_every_way_to_make_a_state_is_noticed():
    assert makers("def f(state: RunState):\n    return replace(state, lr=1.0)") == {"replace"}
    assert makers("def f(r):\n    a, b = r.state, 3\n    return dataclasses.replace(a, lr=1.0)") == {"replace"}
    assert makers("x = replace(self._recorder.state, lr=1.0)") == {"replace"}
    assert makers("x = replace(from_json(RunState, value), lr=1.0)") == {"replace"}
    assert makers("x = with_decided(x, lr_scale=1.0)") == {"with_decided"}
    assert makers("object.__setattr__(state, 'lr', 1.0)") == {"__setattr__"}
    assert makers("x = RunState(run='x')") == {"RunState"}
    assert makers("def f(other: Outcome):\n    return replace(other, reason='')") == set()


def makers(source: str) -> set[str]:
    """Return the calls by which a module makes a state or changes one."""
    if not any(maker in source for maker in (*MAKERS_OF_STATES, "replace")):
        return set()
    nodes = walk(ast.parse(source))
    states = set(_names_of_states(nodes))
    return {name for node in nodes if isinstance(node, ast.Call) and (name := _maker(node, states))}


def _maker(call: ast.Call, states: set[str]) -> str:
    name = _last_name(call.func)
    if name in MAKERS_OF_STATES:
        return name
    return name if name == "replace" and call.args and _is_state(call.args[0], states) else ""


def _names_of_states(nodes: list[ast.AST]) -> Iterator[str]:
    """The names that hold a state: annotated as one, or assigned from an expression that gives one."""
    for node in nodes:
        if isinstance(node, ast.arg) and "RunState" in ast.unparse(node.annotation or ast.Name("")):
            yield node.arg
        elif isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
            for target in node.targets:
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=True))
            yield from (name.id for name, value in pairs if isinstance(name, ast.Name) and _is_state(value, set()))


def _is_state(node: ast.expr, states: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in states
    if isinstance(node, ast.Call):
        name = _last_name(node.func)
        return name in RETURN_STATES or (name == "from_json" and "RunState" in ast.unparse(node))
    return isinstance(node, ast.Attribute) and node.attr in ("state", "_state")


def _last_name(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]

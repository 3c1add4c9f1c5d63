"""The key table: what it promises to people and terminals, and how it is remapped."""

from __future__ import annotations

import re
import string
from collections import Counter

import pytest
from textual.binding import Binding
from textual.keys import Keys, _character_to_key

from cockpit.preferences.key_binding import GROUPS, KeyBinding, bindings_of, shown
from cockpit.preferences.key_names import TAKEN_BY_TERMINALS, bound_as, checked_key, shown_key
from cockpit.preferences.keymap import KEYS, keys_for, lookup, remap
from cockpit.preferences.run_keys import RUN_KEYS
from engine.errors import UserError
from engine.protocol.task_spec import NO_SPEC
from engine.tasks.person.spec import SPEC
from tests.docs.generate import DOCS, key_row


def keys_of(action: str, table: tuple[KeyBinding, ...] = KEYS) -> tuple[str, ...]:
    return lookup(action, table).keys


def test_no_key_and_no_action_stands_twice():
    assert Counter(name for key in KEYS for name in key.keys).most_common(1)[0][1] == 1
    assert Counter(key.action for key in KEYS).most_common(1)[0][1] == 1


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.action)
def test_every_key_has_its_row_in_the_manual(key):
    assert key_row(key) in (DOCS / "keys.md").read_text(encoding="utf-8").splitlines()


def test_the_manual_has_no_key_that_is_not_there():
    groups = "|".join(GROUPS.values())
    lines = (DOCS / "keys.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if re.fullmatch(rf"\| .* \| `\w+` \| ({groups}) \| .* \|", line)]
    assert rows == [key_row(key) for key in KEYS]


def test_no_default_is_a_key_that_tmux_or_a_terminal_takes():
    assert {name for key in KEYS for name in key.keys} & set(TAKEN_BY_TERMINALS) == set()


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.action)
def test_every_action_has_a_key_that_a_terminal_sends_a_label_and_a_help(key):
    assert key.keys
    assert [checked_key(name, key.action) for name in key.keys] == list(key.keys)
    assert 1 <= len(key.label) <= 22
    assert key.help and not key.help.endswith(".")
    assert key.group in GROUPS
    assert key.action.isidentifier()


def test_the_components_of_a_task_are_on_the_digits_in_their_order():
    toggles = [key for key in keys_for(KEYS, SPEC) if key.action.startswith("toggle_")]
    assert [(key.action, key.keys, key.label, key.help) for key in toggles] == [
        (f"toggle_{number}", (str(number),), name.replace("_", " "), f"switch {name} on or off")
        for number, name in enumerate(SPEC.component_names, start=1)
    ]
    assert not [key for key in keys_for(KEYS, NO_SPEC) if key.action.startswith("toggle_")]


def test_a_component_by_its_name_is_answered_with_what_to_write():
    with pytest.raises(UserError, match="'toggle_contour': components are switched by their place, toggle_1 to toggle"):
        remap({"toggle_contour": ["9"]})


@pytest.mark.parametrize("character", string.punctuation + string.ascii_letters + string.digits)
def test_a_character_is_bound_by_textuals_own_name(character):
    assert bound_as(character) == _character_to_key(character)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.action)
def test_textual_takes_every_binding_as_it_stands(key):
    made = list(Binding.make_bindings([Binding(bindings_of(key), "dispatch", key.label)]))
    assert [binding.key for binding in made] == [bound_as(name) for name in key.keys]


def test_every_named_key_is_one_that_textual_knows():
    known = {key.value for key in Keys}
    named = [name for key in KEYS for name in key.keys if len(name) > 1]
    assert named
    assert [name for name in named if name not in known and name != "space"] == []


def test_an_unknown_action_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="no action is called 'promot': did you mean 'promote'"):
        lookup("promot")


def test_an_action_moves_to_other_keys_and_the_rest_stays():
    table = remap({"lower_lr": ["ctrl+d", "F9"], "quit": ["Q"]})
    assert keys_of("lower_lr", table) == ("ctrl+d", "f9")
    assert keys_of("quit", table) == ("Q",)
    changed = ("lower_lr", "quit")
    assert [key for key in table if key.action not in changed] == [key for key in KEYS if key.action not in changed]


def test_two_actions_may_swap_their_keys():
    table = remap({"lower_lr": ["L"], "raise_lr": ["l"]})
    assert (keys_of("lower_lr", table), keys_of("raise_lr", table)) == (("L",), ("l",))


def test_an_action_may_lose_its_key_and_still_be_looked_up():
    assert keys_of("recent", remap({"recent": []})) == ()


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"quitt": ["q"]}, "no action is called 'quitt': did you mean 'quit'?"),
        ({"quit": ["x"]}, "the key 'x' is on both 'recent' and 'quit': give one of them another"),
        ({"quit": ["z"], "help": ["z"]}, "the key 'z' is on both 'help' and 'quit': give one of them another"),
        ({"quit": ["ecape"]}, "the key of 'quit' cannot be 'ecape': did you mean 'escape'?"),
        ({"quit": ["crtl+x"]}, "the key of 'quit' cannot be 'crtl+x': did you mean 'ctrl'?"),
        ({"quit": ["ctrl+pgup"]}, "the key of 'quit' cannot be 'ctrl+pgup': did you mean 'pageup'?"),
        ({"quit": ["ctrl+m"]}, "the key of 'quit' cannot be 'ctrl+m': terminals send 'enter' for it"),
        ({"quit": ["shift+a"]}, "the key of 'quit' cannot be 'shift+a': write the character itself, 'A'"),
    ],
)
def test_a_mistake_in_the_map_is_one_clear_sentence(wanted, sentence):
    with pytest.raises(UserError) as told:
        remap(wanted)
    assert str(told.value) == sentence


@pytest.mark.parametrize("name", ["", " ", "\x1b", "\n", "ab", "++", "ctrl+"])
def test_what_is_no_key_is_refused(name):
    with pytest.raises(UserError, match="the key of 'quit' cannot be"):
        remap({"quit": [name]})


def test_the_plus_key_can_be_held_with_control():
    assert checked_key("ctrl++", "quit") == "ctrl++"
    assert bound_as("ctrl++") == "ctrl+plus"


@pytest.mark.parametrize(("name", "told"), [("ctrl+p", "^p"), ("f2", "F2"), ("space", "space"), ("L", "L"), ("+", "+")])
def test_keys_are_shown_as_people_read_them(name, told):
    assert shown_key(name) == told


def test_all_keys_of_an_action_are_shown():
    assert shown(lookup("zoom_in")) == "+ ="


def test_the_keys_of_the_list_of_runs_are_distinct_and_leave_terminals_theirs():
    assert Counter(name for key in RUN_KEYS for name in key.keys).most_common(1)[0][1] == 1
    assert {name for key in RUN_KEYS for name in key.keys} & set(TAKEN_BY_TERMINALS) == set()
    assert not {key.action for key in RUN_KEYS} & {key.action for key in KEYS}
    assert all(key.help and checked_key(name, key.action) == name for key in RUN_KEYS for name in key.keys)

"""Pictures of every screen, tab and dialog from recorded journals, at three sizes. New ones: --snapshot-update."""

from __future__ import annotations

import pytest

SMALL, MEDIUM, LARGE = (80, 24), (120, 40), (200, 50)

TABS = {"charts": "f2", "run": "f3", "preview": "f4", "events": "f5", "log": "f6", "config": "f7", "layers": "f8"}


@pytest.mark.parametrize("size", [SMALL, MEDIUM, LARGE], ids=["80x24", "120x40", "200x50"])
@pytest.mark.parametrize("tab", TABS)
def test_tab(snap_compare, cockpit, still, tab, size):
    assert snap_compare(cockpit(), terminal_size=size, run_before=still(TABS[tab]))


def test_history_of_a_region(snap_compare, cockpit, still):
    assert snap_compare(cockpit(), terminal_size=SMALL, run_before=still("f4", "s"))


DIALOGS = {
    "gate_red": "p",
    "gate_armed": "p f",
    "demote": "P",
    "early_refinement": "4",
    "weight": "w down",
    "checkpoints": "r",
    "rollback": "r 2",
    "optimizer": "o",
    "batch": "b",
    "note": "N",
    "histogram": "h",
    "undo": "u",
    "remedies": "A",
    "help": "f1",
    "keys": "?",
    "quit": "q",
    "palette": "ctrl+p",
    "metrics": "f2 /",
}


@pytest.mark.parametrize("dialog", DIALOGS)
def test_dialog(snap_compare, cockpit, still, dialog):
    app = cockpit(cannot_detach="") if dialog == "quit" else cockpit()
    assert snap_compare(app, terminal_size=SMALL, run_before=still(*DIALOGS[dialog].split()))


def test_dialog_over_a_large_screen(snap_compare, cockpit, still):
    assert snap_compare(cockpit(), terminal_size=LARGE, run_before=still("p"))


def test_value_that_will_be_clamped(snap_compare, cockpit, still):
    assert snap_compare(cockpit(), terminal_size=SMALL, run_before=still("k", "9", "9", "9", "9"))


def test_commands_on_their_way(snap_compare, cockpit, still):
    assert snap_compare(cockpit(), terminal_size=SMALL, run_before=still("a", "a", "l", "l", "space"))


def test_refused_command(snap_compare, cockpit, still):
    assert snap_compare(cockpit(can_steer=False), terminal_size=SMALL, run_before=still("l"))


def test_finished_run(snap_compare, cockpit, still):
    assert snap_compare(cockpit("done"), terminal_size=SMALL, run_before=still())


def test_run_without_a_journal(snap_compare, cockpit, still):
    assert snap_compare(cockpit("early"), terminal_size=SMALL, run_before=still())


def test_light_theme(snap_compare, cockpit, still):
    assert snap_compare(cockpit(theme="cockpit-light"), terminal_size=SMALL, run_before=still())


def test_ascii_markers(snap_compare, cockpit, still):
    assert snap_compare(cockpit(marker="ascii"), terminal_size=SMALL, run_before=still())


def test_without_colour(snap_compare, cockpit, still, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(cockpit(), terminal_size=SMALL, run_before=still("f3"))


def test_terminal_that_is_too_small(snap_compare, cockpit, still):
    assert snap_compare(cockpit(), terminal_size=(50, 15), run_before=still())

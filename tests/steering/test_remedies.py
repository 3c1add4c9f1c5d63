"""Which alert the remedies are for, and which refinement it blames."""

from __future__ import annotations

import pytest

from cockpit.steering.remedies import blamed_refinement, newest_alert, remedies_of
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.state import RunState
from tests.steering.entries import Ledger


def fault(*, at_step=7, module="", term="", refinement=""):
    return e.FaultNamed(at_step, "reproduced", "forward", module, "div", term, refinement, (), "forensics", 0.1)


def alert(**fields):
    return e.AlertRaised("non_finite", "NaN", **fields)


@pytest.mark.parametrize(
    ("event", "blamed"),
    [
        (alert(term="contour"), "contour_detection"),
        (alert(term="distance"), "distance_transform"),
        (alert(term="dice"), ""),
        (alert(module="boundary_refinement.head.0"), "boundary_refinement"),
        (alert(module="decoder.0"), ""),
        (fault(refinement="active_contour_loss"), "active_contour_loss"),
        (fault(term="boundary_aware"), "boundary_aware_loss"),
        (e.StepSkipped(("dice", "contour"), ("decoder",), (), "NaN"), "contour_detection"),
        (e.SpikeDetected("grad_norm/boundary_refinement", 7, 9.0, 1.0, 8.0), "boundary_refinement"),
        (e.SpikeDetected("loss/total", 7, 9.0, 1.0, 8.0), ""),
        (e.NoteAdded("contour"), ""),
    ],
    ids=str,
)
def test_an_alert_blames_the_refinement_of_its_term_or_module(event, blamed):
    assert blamed_refinement(Ledger().write(event), ()) == blamed


def test_an_alert_without_a_place_takes_that_of_the_fault_at_its_step():
    ledger = Ledger()
    ledger.write(fault(at_step=6, term="distance"))
    ledger.write(fault(at_step=7, term="contour"))
    assert blamed_refinement(ledger.write(alert(at_step=7)), ledger.entries) == "contour_detection"
    assert blamed_refinement(ledger.write(alert(at_step=8)), ledger.entries) == ""


def test_the_newest_trouble_that_nobody_acknowledged_is_meant():
    ledger = Ledger()
    assert newest_alert(ledger.entries) is None
    first = ledger.write(e.AlertRaised("plateau", "the loss stands still"))
    ledger.write(e.StepSkipped(("contour",), (), (), "NaN"), step=70)
    second = ledger.write(alert(at_step=70), step=70)
    ledger.write(e.NoteAdded("x"))
    assert newest_alert(ledger.entries) == second
    assert newest_alert(ledger.entries, {second.id}) == first
    assert newest_alert(ledger.entries, {first.id, second.id}) is None


def test_a_trouble_that_goes_on_after_it_was_acknowledged_is_open_again():
    ledger = Ledger()
    seen = ledger.write(e.SpikeDetected("loss/total", 70, 9.0, 1.0, 8.0), step=70)
    again = ledger.write(e.SpikeDetected("loss/total", 71, 9.0, 1.0, 8.0), step=71)
    assert newest_alert(ledger.entries, {seen.id}) == again


def test_a_run_that_started_again_has_no_old_alerts():
    ledger = Ledger()
    ledger.write(alert())
    ledger.write(e.RunStarted("cpu", 1, 1, 1, 1, "calm"))
    assert newest_alert(ledger.entries) is None


@pytest.mark.parametrize("actor", ["guardian", "cockpit"])
def test_only_the_guardians_own_rollback_is_an_alert(actor):
    ledger = Ledger()
    entry = ledger.write(e.RolledBack("step-00000040.pt", 60, 40), actor=actor)
    assert newest_alert(ledger.entries) == (entry if actor == "guardian" else None)


def test_the_remedies_are_those_of_the_recipe_in_its_order():
    entry = Ledger().write(alert(term="contour"))
    commands = [remedy.command for remedy in remedies_of(entry, (), RunState(run="calm", accumulation=3))]
    assert commands == [
        c.SetLr(1e-6),
        c.SetAccumulation(6),
        c.SetOptimizer("adam"),
        c.DisableRefinement("contour_detection"),
        c.Rollback(),
    ]


def test_a_remedy_without_a_command_says_why():
    remedy = remedies_of(Ledger().write(alert()), (), RunState(run="calm"))[3]
    assert remedy.command is None and remedy.why_not == "the alert names no refinement"

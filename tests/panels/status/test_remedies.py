"""Which remedies an incident has, in which order: by its kind, what was steered, and what the run can do now."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import pytest

from cockpit.session.incidents.incident import Incident
from cockpit.session.incidents.incidents import incidents_of
from cockpit.ui.panels.status.alerts.blame import blamed_component
from cockpit.ui.panels.status.alerts.remedies import remedies_of
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.decide import decide
from engine.protocol.events import Activity, Status
from engine.protocol.state import GateCheck, Limits
from engine.tasks.person.spec import SPEC, refinements_of
from tests.dialogs.entries import Ledger
from tests.person_state import person_state

STATE = person_state(
    run="calm",
    activity=Activity.RUNNING,
    step=400,
    lr=3e-3,
    phase=3,
    refinements=refinements_of(3),
    loss_weights=MappingProxyType({"cross_entropy": 1.0, "active_contour": 0.1, "contour": 0.1}),
    checkpoints=("step-00000050.pt", "step-00000380.pt"),
    good_checkpoint="step-00000380.pt",
    limits=Limits(lr_configured=3e-3),
)


def fault(*, at_step=7, module="", term="", refinement="", direction="forward", verdict="reproduced", samples=()):
    return e.FaultNamed(at_step, verdict, direction, module, "div", term, refinement, samples, "forensics", 0.1)


def alert(kind="non_finite", **fields):
    return e.AlertRaised(kind, "NaN", **fields)


def incident(*events, step=100) -> Incident:
    recorder = Ledger()
    for event in events:
        recorder.write(event, step=step)
    return incidents_of(recorder.entries)[-1]


def commands(*events, state=STATE, step=100):
    return [remedy.command for remedy in remedies_of(incident(*events, step=step), state, partial(decide, state))]


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
    ],
    ids=str,
)
def test_an_incident_blames_the_refinement_of_its_term_or_module(event, blamed):
    assert blamed_component(incident(event), SPEC) == blamed


def test_what_the_fault_of_its_step_names_is_blamed_before_what_else_tells_of_it():
    known = incident(e.StepSkipped(("distance",), (), (), "NaN"), fault(term="contour"), alert(at_step=7), step=7)
    assert blamed_component(known, SPEC) == "contour_detection"


@pytest.mark.parametrize(
    ("events", "first"),
    [
        ((e.StepSkipped(("contour",), (), (), "NaN"),), c.DisableRefinement("contour_detection")),
        ((e.StepSkipped(("dice",), (), (), "NaN"),), c.ScaleLr(0.5)),
        ((e.StepSkipped((), ("unet",), (), "NaN"),), c.ScaleLr(0.5)),
        ((e.StepSkipped((), (), (), "NaN"), fault(direction="weight")), c.Rollback()),
        ((fault(direction="input", samples=("a#1",)),), c.ExcludeSamples(("a#1",))),
        ((fault(verdict="only under mixed precision"),), c.ScaleLr(0.5)),
        ((e.SpikeDetected("loss/total", 100, 9.0, 1.0, 8.0),), c.ScaleLr(0.5)),
        ((alert("dead module", module="unet"),), c.Rollback("step-00000050.pt")),
        ((alert("exploding module", module="unet"),), c.ScaleLr(0.5)),
        (
            (alert("exploding module", module="unet"), alert("dead module", module="gate")),
            c.Rollback("step-00000050.pt"),
        ),
        ((alert("loss clamp", term="contour", module="contour_detection"),), c.ScaleLr(0.5)),
        ((alert("validation"),), c.Validate()),
        ((alert("guardian is off"),), c.SetGuardian(True)),
        ((alert("data stall"),), c.Pause()),
        ((alert("journal"),), c.SaveCheckpoint()),
        ((e.CheckpointFailed("a.pt", "no space left"),), c.SaveCheckpoint()),
        ((e.CheckpointDamaged("a.pt", "bad sum"),), c.SaveCheckpoint()),
    ],
    ids=str,
)
def test_each_kind_recommends_its_own_remedy(events, first):
    state = replace(STATE, guardian=False)
    assert commands(*events, state=state)[0] == first


def test_a_plateau_gets_back_the_rate_that_was_lowered_or_the_next_phase_where_its_gate_is_open():
    plateau = alert("plateau")
    assert commands(plateau, state=replace(STATE, lr=3e-4, lr_scale=0.1))[0] == c.SetLr(3e-3)
    assert commands(plateau)[0] == c.PromotePhase()
    shut = replace(STATE, gate=(GateCheck("non-finite steps", "2", "0", passed=False),))
    assert commands(plateau, state=shut)[0] == c.ScaleLr(0.5)


def test_what_took_the_run_there_is_taken_back_first():
    dead = alert("dead module", module="unet", at_step=100)
    too_high = e.LrSet(3e-3, 1.0, 1.0)
    assert commands(too_high, dead, state=replace(STATE, lr=1.0))[0] == c.SetLr(3e-3)
    promoted = e.PhasePromoted(2, 3, ("contour_detection",))
    assert commands(promoted, dead)[0] == c.DemotePhase()
    loose = replace(STATE, gradient_clip=100.0)
    assert commands(e.GradientClipSet(1.0, 100.0), dead, state=loose)[0] == c.SetGradientClip(1.0)


def test_a_module_without_a_loss_of_its_own_gets_no_loss_weight_and_one_with_it_does():
    def weights(module):
        return [x for x in commands(alert("dead module", module=module)) if isinstance(x, c.SetLossWeight)]

    assert weights("unet") == weights("boundary_refinement") == weights("auxiliary") == []
    assert weights("contour_detection") == [c.SetLossWeight("contour", 0.2)]


@pytest.mark.parametrize("kind", ["exploding module", "dead module", "gradient norm", "skipped steps", "plateau"])
def test_halving_the_rate_is_always_among_them_and_none_is_impossible(kind):
    state = replace(STATE, optimizer="adam", good_checkpoint="", checkpoints=(), lr=1e-6)
    found = commands(alert(kind, module="unet"), state=state)
    assert c.ScaleLr(0.5) in found
    assert all(decide(state, command).status is not Status.REFUSED for command in found)
    assert not {c.SetOptimizer("adam"), c.SetLr(1e-6), c.Rollback()} & set(found)


def test_a_run_that_is_over_has_no_remedies():
    assert commands(alert("exploding module"), state=replace(STATE, activity=Activity.FAILED)) == []


def test_a_run_without_a_clip_is_given_one():
    state = replace(STATE, gradient_clip=math.inf)
    clips = [
        one
        for one in commands(alert("exploding module", module="unet"), state=state)
        if isinstance(one, c.SetGradientClip)
    ]
    assert clips == [c.SetGradientClip(1.0)]

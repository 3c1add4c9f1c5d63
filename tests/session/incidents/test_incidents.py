"""Alerts of one cause are one incident, with its likely cause, and every part of the program counts the same."""

from __future__ import annotations

import pytest

from cockpit.console.incident_text import incident_line
from cockpit.session.incidents.incidents import Incidents, incidents_of, num_incidents
from cockpit.text.event_info import Severity
from cockpit.text.event_text import severity
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.engine_events import Departure
from engine.protocol.events import Event, Status

FAR = Departure("training.learning_rate", "1.0", "0.003")
MODULES = ("extractor", "shared", "unet", "foreground", "gate", "target_branch", "auxiliary", "boundary_refinement")


def started(*unusual: Departure, learning_rate: float = 3e-3, resumed_from: str = "") -> e.RunStarted:
    return e.RunStarted("cpu", 1, 1, 1, 1, resumed_from, learning_rate, unusual)


def journal(*told: tuple[int, Event] | tuple[int, Event, int]) -> list[Entry]:
    """Entries of (step, event, branch); the guardian makes the rollbacks in branch 7."""
    entries: list[Entry] = []
    for number, (step, event, *branch) in enumerate(told, start=1):
        actor = "guardian" if isinstance(event, e.RolledBack) and branch == [7] else "engine"
        entries.append(Entry(number, 0.0, (branch or [0])[0], step, actor, None, Status.NOTED, "", event))
    return entries


def module(kind: str, name: str, step: int) -> tuple[int, Event]:
    return step, e.AlertRaised(f"{kind} module", f"{name} is {kind}", module=name, at_step=step)


def dying_network() -> list[tuple[int, Event]]:
    return [
        *(module("exploding", name, 2) for name in MODULES),
        *(module("dead", name, 61) for name in MODULES[:5]),
    ]


def skipped(step: int, term: str = "contour") -> tuple[int, Event]:
    return step, e.StepSkipped((term,), (), (), f"loss {term} not finite")


def spiked(step: int) -> tuple[int, Event]:
    return step, e.SpikeDetected("loss/total", step, 9.0, 1.0, 12.0)


def test_a_configured_rate_far_too_high_is_one_incident_of_thirteen_alerts_with_its_cause() -> None:
    entries = journal((0, started(FAR, learning_rate=1.0)), *dying_network())
    (incident,) = incidents_of(entries)
    assert incident.count == 13 and (incident.first_step, incident.last_step) == (2, 61)
    assert incident_line(incident) == (
        "8 x exploding module; 5 x dead module; likely cause: learning rate 1.0, 333 times the 0.003 of its config"
    )
    counted = Incidents()
    counted.add(entries)
    assert num_incidents(entries) == 1 and set(counted.numbers.values()) == {1}


def test_a_rate_steered_far_above_the_configured_one_is_the_cause_until_it_is_lowered() -> None:
    raised = (40, e.LrSet(3e-3, 3e-2, 0.5)), (41, e.LrScaled(3e-2, 0.3, 10.0))
    (incident,) = incidents_of(journal((0, started()), *raised, *(module("dead", n, 900) for n in MODULES)))
    assert incident.cause is not None
    assert incident.cause.text == "learning rate 3.00e-01, 100 times the usual 3.00e-03 (step 41, engine)"
    calm = (50, e.LrSet(0.3, 3e-3, 0.6))
    (after,) = incidents_of(journal((0, started()), *raised, calm, *(module("dead", n, 900) for n in MODULES)))
    assert after.cause is None


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (e.PhasePromoted(1, 2, ("active_contour_loss",)), "promotion to phase 2, active_contour_loss on"),
        (e.RefinementEnabled("contour_detection"), "contour_detection switched on"),
        (e.KnobSet("tau", 0.5, 5.0), "tau 5 instead of 0.5"),
        (e.OptimizerSet("adamw", "adam"), "optimizer adam instead of adamw"),
        (e.BatchSizeSet(8, 1), "batch size 1 instead of 8"),
        (e.AccumulationSet(4, 1), "accumulation 1 instead of 4"),
        (e.GradientClipSet(1.0, 1000.0), "the gradient clip raised from 1 to 1000"),
        (e.LossWeightSet("contour", 0.1, 10.0), "the weight of contour raised from 0.1 to 10"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_change_shortly_before_is_the_likely_cause(change: Event, cause: str) -> None:
    (incident,) = incidents_of(journal((0, started()), (100, change), skipped(130), spiked(170)))
    assert incident.cause is not None and incident.cause.text == f"{cause} (step 100, engine)"
    assert incident.count == 2


@pytest.mark.parametrize(
    "change",
    [
        e.LrScaled(3e-3, 1.5e-3, 0.5),
        e.PhaseDemoted(2, 1, ("active_contour_loss",)),
        e.RefinementDisabled("contour_detection"),
        e.BatchSizeSet(2, 8),
        e.AccumulationSet(1, 4),
        e.GradientClipSet(1.0, 0.5),
        e.LossWeightSet("contour", 0.1, 0.05),
        e.NoteAdded("hm"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_makes_a_run_calmer_is_no_cause(change: Event) -> None:
    (incident,) = incidents_of(journal((0, started()), (100, change), skipped(130)))
    assert incident.cause is None


def test_a_change_long_ago_is_no_cause() -> None:
    (incident,) = incidents_of(journal((100, e.RefinementEnabled("contour_detection")), skipped(900)))
    assert incident.cause is None


def test_a_new_cause_is_a_new_incident() -> None:
    told = [skipped(130), (140, e.PhasePromoted(1, 2, ("active_contour_loss",))), skipped(150, "active_contour")]
    first, second = incidents_of(journal(*told))
    assert first.cause is None and second.cause is not None
    assert num_incidents(journal(*told)) == 2


def test_troubles_of_another_family_are_another_incident_and_a_full_disk_is_one() -> None:
    told = [
        (100, e.AlertRaised("journal", "no space left")),
        (101, e.AlertRaised("tensorboard", "no space left")),
        (102, e.CheckpointFailed("a.pt", "no space left")),
        skipped(103),
        (104, e.AlertRaised("plateau", "flat")),
        (105, e.AlertRaised("data stall", "slow")),
    ]
    assert [sorted(x.kinds) for x in incidents_of(journal(*told))] == [
        ["CheckpointFailed", "journal", "tensorboard"],
        ["not finite"],
        ["plateau"],
        ["data stall"],
    ]


def test_an_acknowledged_incident_grows_in_silence_until_it_grows_graver() -> None:
    book = Incidents()
    book.add(journal((0, started(FAR)), *(module("exploding", name, 2) for name in MODULES[:3])))
    assert book.acknowledge() is not None and not book.open
    began = book.add(journal(module("exploding", "gate", 5)))
    assert not began and not book.open and book.all[0].count == 4
    began = book.add(journal(module("dead", "gate", 61), module("dead", "unet", 61)))
    assert not began, "a new kind opens it again, and is no new incident"
    assert len(book.open) == 1 and book.was_seen(book.open[0])
    book.acknowledge()
    book.add(journal(module("dead", "shared", 70)))
    assert not book.open and len(book) == 1


def test_the_incident_of_the_newest_alert_comes_first_also_if_it_began_before_another() -> None:
    stall = 60, e.AlertRaised("data stall", "slow")
    told = [skipped(46), stall, skipped(47), (48, e.RunFailed("21 steps in a row are not finite"))]
    book = Incidents()
    book.add(journal(*told)[:2])
    assert book.newest is book.all[1]
    book.add(journal(*told)[2:])
    assert len(book) == 2 and book.newest is book.all[0] and "RunFailed" in book.all[0].kinds
    assert book.acknowledge() is book.all[0] and book.newest is book.all[1]
    assert book.acknowledge() is book.all[1] and book.newest is None


def test_a_resume_ends_what_was_before_and_the_same_cause_again_is_the_same_incident() -> None:
    told = [(0, started(FAR, learning_rate=1.0)), *dying_network()]
    again = (61, started(FAR, learning_rate=1.0, resumed_from="step 61"), 1)
    book = Incidents()
    book.add(journal(*told, again))
    assert len(book) == 1 and not book.open
    book.add(journal(*told, again, (111, e.AlertRaised("dead module", "", module="gate", at_step=111), 1))[-1:])
    assert len(book) == 1 and len(book.open) == 1 and book.all[0].count == 14


def test_what_a_process_finds_before_it_says_that_it_began_is_its_own() -> None:
    doubt = e.AlertRaised("doubtful data", "outlines beside their boxes")
    book = Incidents()
    book.add(journal((0, doubt, 1), (0, started(), 1)))
    assert len(book.open) == 1


def test_a_rollback_by_a_person_ends_what_it_goes_back_behind_and_keeps_what_was_there_before() -> None:
    early, late = module("exploding", "unet", 50), module("dead", "gate", 480)
    book = Incidents()
    book.add(journal((0, started()), early, late, (500, e.RolledBack("step-00000400.pt", 500, 400))))
    assert [incident.number for incident in book.open] == [1]


def test_a_rollback_by_the_guardian_belongs_to_its_incident_and_so_does_the_fault_that_comes_again() -> None:
    told = [*(skipped(step) for step in range(250, 255)), (254, e.RolledBack("a.pt", 254, 200), 7), skipped(230)]
    (incident,) = incidents_of(journal(*told))
    assert incident.kinds == {"not finite", "RolledBack"} and incident.back_to == 200


def test_ten_thousand_bad_steps_are_one_incident_that_keeps_little() -> None:
    (incident,) = incidents_of(journal(*(skipped(step) for step in range(1, 10_001))))
    assert incident.count == 10_000 and len(incident.entries) == 1
    assert incident_line(incident) == "steps 1-10000 were not finite"


def test_an_alert_of_a_rule_is_an_incident_of_its_own_unless_it_is_information() -> None:
    alerts = [
        (step, e.AlertRaised(f"rule {name}", "loss > 2 (loss 3)", at_step=step, severity=grade))
        for step, name, grade in ((5, "finite", "warning"), (6, "late", "info"), (7, "finite", "warning"))
    ]
    entries = journal((0, started()), *alerts, skipped(8))
    rule, fault = incidents_of(entries)
    assert rule.kinds == {"rule finite"} and rule.count == 2
    assert fault.first_step == 8
    assert [severity(entry) for entry in entries[1:3]] == [Severity.ALERT, Severity.RESULT]

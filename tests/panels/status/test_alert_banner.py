"""An alert stays until it is acknowledged, says what, where, why and what to do, and floods are one alert."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cockpit.session.incidents.incident import is_alert
from cockpit.session.incidents.incidents import Incidents
from cockpit.session.session import Session
from cockpit.ui.panels.status.alerts.account import account
from cockpit.ui.panels.status.alerts.banner import Banner
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.events import Event, Status
from engine.protocol.task_spec import NO_SPEC
from engine.tasks.person.spec import SPEC
from tests.panels.stage import Stage
from tests.recorded_run import STARTED, RecordedRun

Open = Callable[..., Session]
ALERT = e.AlertRaised(
    "gradient explosion",
    "the norm of decoder grew 40-fold in 20 steps",
    "lower the learning rate (to 1e-6)",
    term="contour",
    module="decoder.2",
    operation="conv2d",
    at_step=30,
)


def entry(event: Event, *, step: int = 30, actor: str = "engine", number: int = 1, branch: int = 1) -> Entry:
    return Entry(number, 0.0, branch, step, actor, None, Status.NOTED, "", event)


def skipped(step: int, term: str = "contour") -> e.StepSkipped:
    return e.StepSkipped((term,), (), (), f"loss {term} not finite; nothing was updated")


async def test_nothing_is_shown_while_all_is_well(run: RecordedRun, open_session: Open) -> None:
    run.begin()
    stage = Stage(Banner(), open_session())
    async with stage.run_test(size=(80, 8)) as pilot:
        await pilot.pause()
        assert not stage.panel.display
        assert stage.shown.strip() == ""


@pytest.mark.parametrize("width", [40, 80, 120])
async def test_an_alert_says_what_where_why_and_what_to_do(run: RecordedRun, open_session: Open, width: int) -> None:
    run.begin()
    run.note(ALERT)
    stage = Stage(Banner(), open_session())
    async with stage.run_test(size=(width, 14)) as pilot:
        await pilot.pause()
        said = " ".join(stage.shown.split())
        for word in (
            "ALERT gradient explosion",
            "step 30",
            "[a] acknowledge",
            "[A] remedies",
            "operation conv2d, module decoder.2, term contour",
            "grew 40-fold",
            "remedy: lower the loss weight of contour; lower the learning rate (to 1e-6)",
        ):
            assert all(part in said for part in word.split()), word


async def test_it_stays_until_it_is_acknowledged_and_the_one_before_follows(
    run: RecordedRun, open_session: Open
) -> None:
    run.begin()
    run.note(ALERT)
    run.note(e.CheckpointFailed("step-00000040.pt", "disk full"))
    stage = Stage(Banner(), open_session())
    banner = stage.panel
    assert isinstance(banner, Banner)
    async with stage.run_test(size=(100, 8)) as pilot:
        stage.look()
        await pilot.pause()
        assert "ALERT 2 of 2 (1 more open) checkpoint step-00000040.pt could not be written: disk full" in stage.shown
        banner.acknowledge()
        await pilot.pause()
        assert "ALERT 1 of 2 gradient explosion" in stage.shown
        stage.look()
        assert banner.num_open == 1
        banner.acknowledge()
        await pilot.pause()
        assert not banner.display
        assert banner.acknowledge() is None
        run.note(e.SpikeDetected("loss/total", 50, 9.0, 1.0, 12.0))
        stage.look()
        await pilot.pause()
        assert "loss/total spiked" in stage.shown


async def test_its_keys_and_its_step_can_be_clicked(run: RecordedRun, open_session: Open) -> None:
    run.begin()
    run.note(ALERT)
    stage = Stage(Banner(), open_session())
    async with stage.run_test(size=(100, 8)) as pilot:
        await pilot.pause()
        for text in ("[a]", "[A]", "30"):
            await pilot.click(offset=stage.find(text))
        await pilot.pause()
        assert stage.asked == [("acknowledge", ""), ("remedies", "")]
        assert stage.jumped == [30]


async def test_the_recorded_faults_are_one_alert_with_their_place(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(Banner(), open_session())
    banner = stage.panel
    assert isinstance(banner, Banner)
    async with stage.run_test(size=(100, 10)) as pilot:
        await pilot.pause()
        assert banner.num_open == 1, "what came of the promotion is one trouble"
        said = " ".join(stage.shown.replace("█", "").split())
        assert "steps 250-251 were not finite; loss/total spiked" in said
        assert "likely cause: promotion to phase 2, active_contour_loss on (step 160, cockpit)" in said
        assert "operation div, module active_contour, term active_contour (forward, reproduced)" in said
        assert "refinement active_contour_loss" in said
        assert "remedy: take back the likely cause: demote; SEED.md: lower the LR to 1e-6" in said


async def test_hostile_words_are_shown_literally(run: RecordedRun, open_session: Open) -> None:
    run.begin()
    run.note(e.AlertRaised("[red]k\x1b[2J", "m\u202e\n[b]x[/b]", "r\x07", term="[t]", module="m\x1b"))
    stage = Stage(Banner(), open_session())
    async with stage.run_test(size=(100, 10)) as pilot:
        await pilot.pause()
        for word in (r"[red]k\x1b[2J", r"m\u202e\n[b]x[/b]", r"r\x07", "term [t]", r"module m\x1b"):
            assert word in stage.shown


def test_skipped_steps_in_a_row_are_one_incident() -> None:
    incidents = Incidents()
    incidents.add(entry(skipped(step), step=step, number=step) for step in range(31, 45))
    (incident,) = incidents.open
    assert account(incident, NO_SPEC).what == "steps 31-44 were not finite"
    assert incident.count == 14 and len(incident.entries) == 1


def test_skipped_steps_far_apart_are_two() -> None:
    incidents = Incidents()
    incidents.add([entry(skipped(31), step=31), entry(skipped(60), step=60)])
    assert [account(incident, NO_SPEC).what for incident in incidents.open] == [
        "step 31 was not finite",
        "step 60 was not finite",
    ]


def test_what_names_the_fault_joins_the_skipped_step() -> None:
    fault = e.FaultNamed(
        31, "reproduced", "backward", "decoder.1", "sqrt", "", "contour_detection", (), "forensics/x", 1.0
    )
    alert = e.AlertRaised("fault", "sqrt of 0 in decoder.1", "disable contour_detection", at_step=31)
    incidents = Incidents()
    incidents.add([entry(skipped(31), step=31), entry(fault, step=31), entry(alert, step=32)])
    (incident,) = incidents.open
    told = account(incident, SPEC)
    assert told.what == "step 31 was not finite"
    assert told.where == "operation sqrt, module decoder.1 (backward, reproduced), refinement contour_detection"
    assert told.evidence == "sqrt of 0 in decoder.1"
    assert told.remedy == "disable contour_detection"


def test_spikes_of_one_metric_in_a_row_are_one_incident() -> None:
    incidents = Incidents()
    incidents.add(entry(e.SpikeDetected("loss/total", step, 9.0, 1.0, 12.0), step=step) for step in (40, 41, 42))
    (incident,) = incidents.open
    assert account(incident, NO_SPEC).what == "loss/total spiked 3 times"


def test_a_rollback_alerts_where_the_guardian_made_it() -> None:
    rolled = e.RolledBack("step-00000020.pt", 40, 20)
    assert is_alert(entry(rolled, actor="guardian"))
    assert not is_alert(entry(rolled, actor="cockpit"))


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (e.RunFailed("ValueError: boom"), "the run failed"),
        (
            e.CheckpointDamaged("step-1.pt", "bad sum"),
            "checkpoint step-1.pt is damaged: bad sum; the one before is used",
        ),
        (e.RolledBack("step-1.pt", 40, 1), "rolled back to step-1.pt: step 40 -> 1"),
    ],
)
def test_every_kind_of_alert_has_words(event: Event, what: str) -> None:
    incidents = Incidents()
    incidents.add([entry(event, actor="guardian")])
    assert account(incidents.open[0], NO_SPEC).what == what


def test_a_run_that_starts_again_has_no_old_troubles() -> None:
    incidents = Incidents()
    incidents.add([entry(ALERT, branch=1), entry(STARTED, branch=2)])
    assert incidents.open == [] and len(incidents) == 1


def test_a_fault_without_a_place_keeps_that_of_the_step_and_is_told_once() -> None:
    fault = e.FaultNamed(31, "vanished on replay", "", "", "", "", "", (), "forensics/x", 1.0)
    alert = e.AlertRaised("fault", "step 31, vanished on replay: it was transient", "train on", at_step=31)
    incidents = Incidents()
    incidents.add([entry(skipped(31), step=31), entry(fault, step=31)])
    assert account(incidents.open[0], NO_SPEC).where == "term contour (vanished on replay)"
    incidents.add([entry(alert, step=32)])
    assert account(incidents.open[0], NO_SPEC).where == "term contour"


async def test_the_folder_of_the_evidence_is_never_cut(run: RecordedRun, open_session: Open) -> None:
    run.begin()
    said = "step 31, reproduced: " + "the cross entropy of the second branch is not finite " * 4
    alert = e.AlertRaised("fault", f"{said}; evidence in forensics/step-00000031", "train on", at_step=31)
    run.note(alert)
    stage = Stage(Banner(), open_session())
    async with stage.run_test(size=(60, 14)) as pilot:
        await pilot.pause()
        assert "evidence in forensics/step-00000031" in stage.shown
        assert len([line for line in stage.shown.splitlines() if "cross entropy" in line]) == 2


@pytest.mark.parametrize(("width", "is_beside"), [(80, True), (36, False)])
async def test_the_link_to_the_step_says_so_if_it_begins_a_line(
    run: RecordedRun, open_session: Open, width: int, is_beside: bool
) -> None:
    run.begin()
    run.note(skipped(31))
    stage = Stage(Banner(), open_session())
    async with stage.run_test(size=(width, 14)) as pilot:
        await pilot.pause()
        assert "show" in stage.shown
        assert ("show step 0" in stage.shown) is not is_beside


async def test_a_remedy_is_not_told_twice(run: RecordedRun, open_session: Open) -> None:
    run.begin()
    run.note(e.AlertRaised("spike", "the loss spiked", "lower the learning rate, or look at the data", at_step=0))
    run.note(e.SpikeDetected("loss/total", 0, 9.0, 1.0, 12.0))
    run.note(e.AlertRaised("gradient norm", "the norm is high", "lower the learning rate, or clip it", at_step=0))
    stage = Stage(Banner(), open_session())
    async with stage.run_test(size=(80, 14)) as pilot:
        await pilot.pause()
        assert "remedy: lower the learning rate, or clip it" in stage.shown

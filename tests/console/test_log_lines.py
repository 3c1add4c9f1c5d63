"""The log: one line per event, who did it, how it ended; floods thinned out and counted."""

from __future__ import annotations

from cockpit.console.reporting.log_lines import LogLines, entry_line
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.events import Event, Status
from engine.protocol.task_spec import NO_SPEC


def entry(event: Event, *, status: Status = Status.NOTED, reason: str = "", actor: str = "engine") -> Entry:
    return Entry(1, 0.0, 0, 120, actor, None, status, reason, event)


def lines(events: list[Event], *, quiet: bool = False) -> list[str]:
    return [line.plain for line in LogLines(quiet=quiet).of([entry(event) for event in events], NO_SPEC)]


EVENTS: list[Event] = [
    e.RunStarted("cpu", 1, 1, 1, 1),
    e.ActivityChanged(e.Activity.STARTING, e.Activity.RUNNING),
    e.EpochCompleted(0, 1.0, 1.0),
    e.ValidationCompleted(1.2, {"miou": 0.43}, 2.0),
    e.CheckpointSaved("step-1.pt", "epoch", 1.0, None, True),
    e.StepsGranted(0, 5),
    e.AlertRaised("spike", "the loss jumped"),
]


def test_what_the_panel_shows_anyway_is_left_out() -> None:
    said = lines(EVENTS)

    assert len(said) == len(EVENTS) - 1
    assert not any("starting" in line for line in said)


def test_quiet_keeps_the_start_the_validations_and_the_alerts() -> None:
    said = lines(EVENTS, quiet=True)

    assert [line.split("  ")[1].split()[0] for line in said] == ["training", "validation:", "!"]


def test_an_intervention_names_who_what_and_how_it_ended() -> None:
    event = e.LrScaled(5e-6, 1e-5, 2.0)
    clamped = entry(event, status=Status.CLAMPED, reason="at most [x10]\n", actor="cli:a\x1bnn")

    assert entry_line(clamped, NO_SPEC).plain == (
        "step 120  cli:a\\x1bnn: learning rate 5.00e-06 -> 1.00e-05 [clamped] (at most [x10]\\n)"
    )


def test_a_checkpoint_that_was_asked_for_is_an_intervention() -> None:
    asked = entry(e.CheckpointSaved("a.pt", "asked", 1.0, None, True), status=Status.APPLIED, actor="cli:ann")

    (line,) = LogLines(quiet=False).of([asked], NO_SPEC)
    assert [line.plain] == ["step 120  cli:ann: checkpoint a.pt (asked)"]
    assert not list(LogLines(quiet=True).of([asked], NO_SPEC))


def test_alerts_are_told_by_more_than_their_colour() -> None:
    assert lines([e.RunFailed("boom")]) == ["step 120  ! the run failed: boom"]


def test_a_flood_is_thinned_out_and_counted() -> None:
    said = lines([e.SampleRejected(f"{number}.jpg", "truncated") for number in range(1, 1001)])

    assert [line.split()[5] for line in said[:11]] == [*(f"{number}.jpg:" for number in range(1, 11)), "20.jpg:"]
    assert len(said) == 10 + 9 + 9
    assert said[-1].endswith("(number 1000)")


def test_other_events_are_never_thinned_out() -> None:
    assert len(lines([e.NoteAdded(str(number)) for number in range(100)])) == 100

"""The alert that threads wait for each other because other processes use the processors."""

from __future__ import annotations

from engine.protocol.events import AlertRaised
from engine.protocol.state import RunState
from engine.supervision.alerts.busy_machine import BusyMachineMonitor
from engine.supervision.step_metrics import StepMetrics


class _Machine:
    """Feeds a monitor with steps of a tenth of a second."""

    def __init__(self, threads: int, cores: int) -> None:
        self.monitor = BusyMachineMonitor(threads, cores)
        self.number = 0

    def steps(self, count: int, *, others: float | None, rate: float) -> list[AlertRaised]:
        """Return the alerts of so many steps; `others` is the share in % that other processes use."""
        alerts: list[AlertRaised] = []
        for _ in range(count):
            self.number += 1
            metrics = {"samples_per_second": rate} | ({} if others is None else {"system/cpu_others": others})
            alerts += self.monitor.observe(StepMetrics(self.number, metrics, RunState("run"), 0.1))
        return alerts


def test_two_threads_beside_one_busy_process_are_an_alert_with_the_slow_down_and_the_remedy() -> None:
    machine = _Machine(2, 2)
    assert machine.steps(60, others=2.0, rate=87) == []
    assert machine.steps(149, others=50.0, rate=46) == [], "fifteen seconds are not over"
    (alert,) = machine.steps(10, others=50.0, rate=46)
    assert alert.kind == "busy machine"
    assert alert.message == (
        "2 threads wait for each other: other processes use 1.0 of 2 processors, and steps take 1.9 times as long as "
        "before"
    )
    assert "training.threads=1" in alert.remedy
    assert machine.steps(300, others=50.0, rate=46) == [], "once is enough"


def test_without_a_known_pace_the_load_alone_counts() -> None:
    (alert,) = _Machine(2, 2).steps(200, others=95.0, rate=1)
    assert "use 1.9 of 2 processors" in alert.message and "as long as before" not in alert.message


def test_it_comes_back_after_it_has_cleared() -> None:
    machine = _Machine(4, 4)
    assert len(machine.steps(200, others=60.0, rate=5)) == 1
    assert machine.steps(100, others=0.0, rate=10) == []
    assert len(machine.steps(200, others=60.0, rate=5)) == 1


def test_what_costs_no_time_is_no_alert() -> None:
    assert _Machine(1, 2).steps(400, others=100.0, rate=1) == [], "one thread waits for no other"
    assert _Machine(2, 4).steps(400, others=50.0, rate=1) == [], "there is room for both"
    assert _Machine(2, 2).steps(400, others=None, rate=1) == [], "nothing is known"
    machine = _Machine(2, 2)
    machine.steps(60, others=0.0, rate=80)
    assert machine.steps(400, others=50.0, rate=79) == [], "the steps are as fast as before"
    for _ in range(6):
        machine = _Machine(2, 2)
        machine.steps(100, others=80.0, rate=1)
        assert machine.steps(1, others=0.0, rate=1) == [], "short loads are not added up"

"""A slow rank is named once; small differences and unequal shares are none."""

from __future__ import annotations

from engine.supervision.alerts.stragglers import StragglerMonitor


def test_a_slow_rank_is_named_once_and_again_after_it_was_well() -> None:
    monitor = StragglerMonitor(3, 1.5)
    found = [monitor.observe(step, (0.1, 0.1, 0.1 if step < 50 else 0.25), (0, 0, 0.1), [6]) for step in range(1, 300)]
    alerts = [alert for some in found for alert in some]
    assert [alert.kind for alert in alerts] == ["slow rank"]
    assert alerts[0].message.startswith("rank 2 is slow: it takes 0.1") and "waiting for data" in alerts[0].message
    assert not any(monitor.observe(step, (0.1, 0.1, 0.1), (0, 0, 0), [6]) for step in range(300, 500))
    assert any(monitor.observe(step, (0.1, 0.3, 0.1), (0, 0, 0), [6]) for step in range(500, 600))


def test_equal_ranks_and_tiny_differences_raise_no_alert() -> None:
    monitor = StragglerMonitor(2, 1.5)
    assert not any(monitor.observe(step, (0.001, 0.004), (0, 0), [6]) for step in range(1, 200))


def test_a_rank_with_more_samples_of_a_small_batch_is_not_slow() -> None:
    monitor = StragglerMonitor(2, 1.5)
    assert not any(monitor.observe(step, (0.4, 0.2), (0, 0), [1, 1]) for step in range(1, 100))
    assert not any(monitor.observe(step, (0.4, 0.2), (0, 0), [3]) for step in range(100, 200))
    assert any(monitor.observe(step, (0.4, 0.2), (0, 0), [5]) for step in range(200, 300))

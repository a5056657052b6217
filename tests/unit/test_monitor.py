"""How often workers may start without a step saved in between."""

from rayograph.cluster.monitor import STARTS, RunMonitor


def test_starts_are_counted_until_a_step_is_saved_or_there_are_more_workers_than_ever() -> None:
    monitor = RunMonitor.__ray_metadata__.modified_class()
    for workers in range(1, 2 * STARTS):  # hosts come one after the other
        assert monitor.register_start(workers) is None
        monitor.resumed_at((0, 0), None)
    for _ in range(STARTS - 1):
        assert monitor.register_start(2) is None
    monitor.resumed_at((0, 4), "snapshot")  # of the latest start
    for workers in (3, *(3, 2) * (STARTS // 2)):
        assert monitor.register_start(workers) is None
    monitor.record_failure("it hurts")
    refusal = monitor.register_start(3)
    assert f"ended {STARTS} times without a step saved in between: it hurts" in str(refusal)

"""What is noted is counted when it is settled, once."""

from prometheus_client import CollectorRegistry

from runtime.metrics.noted import NotedCounter, NotedHistogram, settle


def test_noted_values_are_counted_once() -> None:
    registry = CollectorRegistry()
    counter = NotedCounter("tidegate_test_noted_total", "A test's.", registry=registry)
    histogram = NotedHistogram("tidegate_test_noted_seconds", "A test's.", buckets=(1, 10), registry=registry)

    def counted() -> list[float | None]:
        name = "tidegate_test_noted_seconds"
        buckets = [registry.get_sample_value(f"{name}_bucket", {"le": le}) for le in ("1.0", "10.0", "+Inf")]
        return [
            registry.get_sample_value("tidegate_test_noted_total"),
            *buckets,
            registry.get_sample_value(f"{name}_sum"),
        ]

    for _ in range(2):
        counter.note(3)
        histogram.note(0.5)
        histogram.note(1)
        histogram.note(11)
    assert counted() == [0, 0, 0, 0, 0]
    settle()
    assert counted() == [6, 4, 4, 6, 25]
    settle()
    assert counted() == [6, 4, 4, 6, 25]
    counter.note()
    histogram.note(5)
    settle()
    assert counted() == [7, 4, 5, 7, 30]

"""Our page of a registry is the library's, whatever is in it."""

from hypothesis import given
from hypothesis import strategies as some
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, generate_latest

from e2e.fault_engine.dialects.exposition import exposition
from e2e.fault_engine.dialects.vllm_metrics import VllmMetrics
from e2e.fault_engine.request import Stats

VALUES = some.floats(allow_nan=True, allow_infinity=True)


@given(value=VALUES, label=some.text(), says=some.text(max_size=40))
def test_byte_for_byte(value: float, label: str, says: str) -> None:
    registry = CollectorRegistry()
    PlatformCollector(registry=registry)
    Gauge("vllm:gauge", says, ["b", "a"], registry=registry).labels(label, "2").set(value)
    counter = Counter("counted", says, ["who"], registry=registry)
    counter.labels(label).inc(abs(value))
    counter.labels("other").inc()
    Counter("plain_total", says, registry=registry).inc()
    Histogram("seconds", says, ["who"], buckets=(0.1, 1, 10), registry=registry).labels(label).observe(value)
    assert exposition(registry) == generate_latest(registry)


def test_of_the_engine_too() -> None:
    meter = VllmMetrics('a "tiny" \\ model')
    for at in range(3):
        meter.show_step(Stats(running=at, waiting=1, withheld=True, kv_usage=0.1, prefix_queries=at, prefix_hits=0))
        meter.count_first_token(0.1 * at, 12)
        meter.count_answer("POST", "/v1/completions", 200)
        static = [line for line in meter.page().splitlines() if not line.startswith(b"process_")]
        library = [line for line in generate_latest(meter.registry).splitlines() if not line.startswith(b"process_")]
        assert static == library

"""What the operator takes and counts, read from the kernel's files and from its own page of metrics."""

from __future__ import annotations

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry

from benchmarks.remediation.process import read_counts, read_usage
from llmworker_operator.adapters.metrics import Metrics

STAT = "4711 (a (strange) name) S 1 4711 4711 0 -1 4194560 9 0 0 0 250 50 7 7 20 0 3 0 100 1 1 18446744073709551615"
STATUS = "Name:\tpython\nVmHWM:\t  102400 kB\nVmRSS:\t   51200 kB\nGroups:\t \nThreads:\t3\n"


def test_usage_is_of_all_threads_in_seconds_and_mebibytes() -> None:
    usage = read_usage(STAT, STATUS, "258615 1500000000 3\n", ticks=100)
    assert (usage.cpu_seconds, usage.starved_seconds, usage.rss_mib, usage.peak_mib) == (3.0, 1.5, 50.0, 100.0)


def test_the_metrics_have_the_names_that_are_counted() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.after("PATCH /a")
    metrics.after("POST /b")
    for what, detail in (("granted", "Restart"), ("granted", "LeaveRotation"), ("withdrew", "Restart")):
        metrics.incident_written(what, detail)
    for result in ("done", "failed", "unexpected"):
        metrics.reconciles.labels(name="reconcile", result=result).inc()
    metrics.loop_errors.labels(place="relist").inc()
    metrics.leader.set(1)
    metrics.queued.set(4)
    metrics.relist_seconds.observe(1.0)
    counts = read_counts(generate_latest(metrics.registry).decode())
    assert (counts.writes, counts.granted) == (2, 1)
    assert (counts.failed_passes, counts.unexpected_errors, counts.queued) == (2, 1, 4)
    assert (counts.led, counts.relists) == (True, 1)


def test_a_page_before_anything_happened() -> None:
    counts = read_counts(generate_latest(Metrics(CollectorRegistry()).registry).decode())
    assert (counts.writes, counts.granted, counts.led, counts.relists) == (0, 0, False, 0)


@pytest.mark.parametrize("status", ["Name:\tpython\n", ""])
def test_a_process_that_is_gone_has_no_memory_to_tell(status: str) -> None:
    with pytest.raises(KeyError):
        read_usage(STAT, status, "1 1 1")

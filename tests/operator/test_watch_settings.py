"""What kopf is told about its own queues."""

from __future__ import annotations

from llmworker_operator.handlers import kopf_settings
from llmworker_operator.settings import Settings

FAULTY_AT_ONCE = 2500
"""Half of 1,000 workers with 5 replicas each."""


def test_a_storm_of_requests_gets_through_kopfs_queue_in_time() -> None:
    """Each object holds one of so many tasks for the idle time, so this is the least that the last request waits."""
    queueing = kopf_settings(Settings()).queueing
    assert queueing.worker_limit is not None
    assert FAULTY_AT_ONCE / queueing.worker_limit * queueing.idle_timeout < 0.5

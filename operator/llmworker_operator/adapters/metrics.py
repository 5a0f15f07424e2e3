"""The operator's own metrics, on a registry that is passed in. Names are documented and guarded by a test."""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from llmworker_operator.adapters.condition_metrics import ConditionMetrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prometheus_client.registry import CollectorRegistry

    from llmworker_operator.domain.refusals import Waiting
    from llmworker_operator.domain.worker import WorkerKey

PREFIX = "llmworker_operator"


class Metrics:
    """Fed by the same records as log and status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._waiting_by_worker: dict[WorkerKey, Tally[str]] = {}
        self.leader = Gauge(f"{PREFIX}_leader", "1 while this process leads", registry=registry)
        self.reconciles = Counter(
            f"{PREFIX}_reconciles", "Passes over a worker, by result", ["name", "result"], registry=registry
        )
        self.reconcile_seconds = Histogram(
            f"{PREFIX}_reconcile_seconds", "Time of one pass", ["name"], registry=registry
        )
        self.queued = Gauge(f"{PREFIX}_queued_keys", "Workers that wait for a pass", registry=registry)
        self.oldest = Gauge(f"{PREFIX}_oldest_queued_seconds", "Age of the oldest of them", registry=registry)
        self.relist_age = Gauge(f"{PREFIX}_relist_age_seconds", "Since the last complete relist", registry=registry)
        self.relist_seconds = Histogram(f"{PREFIX}_relist_seconds", "Time of one complete relist", registry=registry)
        self.healed = Counter(
            f"{PREFIX}_cache_healed", "Workers for whom a relist knew more than the watches", registry=registry
        )
        self.cached = Gauge(f"{PREFIX}_cached_objects", "Objects in the cache", ["resource"], registry=registry)
        self.writes = Counter(f"{PREFIX}_api_writes", "Writes to the API server", ["method"], registry=registry)
        self.incident_writes = Counter(
            f"{PREFIX}_incident_writes", "Grants, withdrawals and closures", ["what", "detail"], registry=registry
        )
        self.refusals = Gauge(
            f"{PREFIX}_requests_waiting", "Requests for a step that wait, by reason", ["reason"], registry=registry
        )
        self.pods_given_up = Counter(
            f"{PREFIX}_pods_given_up", "Pods evicted, detached and deleted, by how", ["how"], registry=registry
        )
        self.conditions = ConditionMetrics(f"{PREFIX}_worker_condition", registry)
        self._paused = Gauge(f"{PREFIX}_cluster_paused", "1 while the whole cluster is paused", registry=registry)
        self._pause_unreadable = Gauge(
            f"{PREFIX}_cluster_pause_unreadable", "1 while its ConfigMap is not understood", registry=registry
        )
        self.loop_errors = Counter(
            f"{PREFIX}_unexpected_errors", "Errors that nobody foresaw, by place", ["place"], registry=registry
        )

    def before(self, what: str) -> None:
        """A write is counted when it has been made."""

    def after(self, what: str) -> None:
        self.writes.labels(method=what.partition(" ")[0]).inc()

    def incident_written(self, what: str, detail: str) -> None:
        self.incident_writes.labels(what=what, detail=detail).inc()

    def cluster_pause(self, *, paused: bool, problem: bool) -> None:
        self._paused.set(paused)
        self._pause_unreadable.set(problem)

    def waiting(self, key: WorkerKey, waiting: Sequence[Waiting]) -> None:
        """Replaces what the worker contributed before."""
        before = self._waiting_by_worker.pop(key, Tally())
        now = Tally(w.refusal.value for w in waiting)
        if now:
            self._waiting_by_worker[key] = now
        for reason in before.keys() | now.keys():
            self.refusals.labels(reason=reason).inc(now[reason] - before[reason])

    def cache_sizes(self, sizes: Mapping[str, int]) -> None:
        for resource, size in sizes.items():
            self.cached.labels(resource=resource).set(size)

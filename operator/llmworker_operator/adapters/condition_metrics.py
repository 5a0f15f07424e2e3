"""One series for each thing that is wrong with a worker, for alerts; it goes when the condition goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import Gauge

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from prometheus_client.registry import CollectorRegistry

    from llmworker_operator.domain.worker import WorkerKey

Series = tuple[str, str]
"""Type and reason of a condition."""


class ConditionMetrics:
    """`worker_namespace`, as a scrape gives each series the `namespace` of the operator's own pod."""

    def __init__(self, name: str, registry: CollectorRegistry) -> None:
        labels = ["worker_namespace", "worker", "type", "reason"]
        self._gauge = Gauge(name, "1 while this condition of a worker is true", labels, registry=registry)
        self._known: dict[WorkerKey, frozenset[Series]] = {}

    def set(self, key: WorkerKey, conditions: Iterable[Mapping[str, Any]], types: Collection[str]) -> None:
        """Replaces what the worker had before. `types` are those that tell of something abnormal."""
        now = frozenset((c["type"], c["reason"]) for c in conditions if c["type"] in types and c["status"] == "True")
        before = self._known.pop(key, frozenset())
        for gone in before - now:
            self._gauge.remove(*key, *gone)
        for new in now - before:
            self._gauge.labels(*key, *new).set(1)
        if now:
            self._known[key] = now

"""Everything one pass decides from, taken from the cache at one moment. Records only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from llmworker_operator.domain.child import Child
from llmworker_operator.domain.cluster_pause import ClusterPause
from llmworker_operator.domain.record import IncidentView
from llmworker_operator.domain.replica import Replica
from llmworker_operator.domain.worker import Worker

ChildId = tuple[str, str]
"""Kind and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A worker and all that belongs to it."""

    worker: Worker
    neighbours: Sequence[Worker]
    """All workers of the namespace that are there to stay, this one among them."""
    replicas: Sequence[Replica]
    incidents: Sequence[IncidentView]
    children: Mapping[ChildId, Child]
    kubelets: Mapping[str, str]
    """Kubelet version by node."""
    admission_problems: Sequence[str]
    """Why the watchdogs get no rights; empty while the policies are in force."""
    now: datetime
    pause: ClusterPause = field(default_factory=ClusterPause)

    @property
    def living(self) -> set[str]:
        return {replica.uid for replica in self.replicas}

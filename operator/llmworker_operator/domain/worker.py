"""One LLMWorker as the operator sees it: the manifest read once, defaults filled in. Knows no client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llm_watchdog.api.policy import EngineTarget, RestartMethodChoice, WatchdogPolicy
from llmworker_operator.models import LLMWorker, PowerState, SecretKeyRef, WorkerError


class WorkerKey(NamedTuple):
    """What the queue holds and the cache is indexed by."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Spec and identity of a worker, and the status that was written last."""

    key: WorkerKey
    uid: str
    resource_version: str = field(compare=False)
    generation: int
    deleting: bool
    replicas: int
    progress_deadline_seconds: int
    strategy: Mapping[str, Any]
    engine: EngineTarget
    api_key: SecretKeyRef | None
    template: Mapping[str, Any]
    watchdog: WatchdogPolicy
    asleep_wished: bool = False
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def max_unavailable(self) -> int:
        """A percentage turned into a number, as the budget counts it."""
        return self.watchdog.remediation.budget.max_unavailable.at_most(self.replicas)

    @property
    def wants_restart_probe(self) -> bool:
        """Asked for by name, so the engine carries the probe whatever the nodes can do."""
        return self.watchdog.remediation.restart_method is RestartMethodChoice.LIVENESS_PROBE


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableWorker:
    """Stored under an earlier schema, or by a newer operator; nothing is done but to say so."""

    key: WorkerKey
    uid: str
    resource_version: str = field(compare=False)
    generation: int
    problem: str
    status: Mapping[str, Any] = field(default_factory=dict)


def read_worker(document: Mapping[str, Any]) -> Worker | UnreadableWorker:
    """From the API server's JSON."""
    metadata, status = document["metadata"], document.get("status") or {}
    key = WorkerKey(metadata["namespace"], metadata["name"])
    try:
        read = LLMWorker.from_object(document)
    except WorkerError as error:
        return UnreadableWorker(
            key=key,
            uid=metadata["uid"],
            resource_version=metadata.get("resourceVersion", ""),
            generation=metadata.get("generation", 0),
            problem=str(error),
            status=status,
        )
    return Worker(
        key=key,
        uid=read.metadata.uid,
        resource_version=read.metadata.resource_version,
        generation=read.metadata.generation,
        deleting=read.metadata.deletion_timestamp is not None,
        replicas=read.spec.replicas,
        progress_deadline_seconds=read.spec.progress_deadline_seconds,
        strategy=document["spec"].get("strategy") or {},
        engine=read.spec.engine.target(),
        api_key=read.spec.engine.api_key_secret_ref,
        template=read.spec.template,
        watchdog=read.spec.watchdog,
        asleep_wished=read.spec.power.state is PowerState.ASLEEP,
        status=status,
    )

"""Keeps quarantined pods aside, and gives those back that a person has released."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from llm_watchdog.api import names
from llm_watchdog.api.policy import QuarantineChoice
from llmworker_operator.adapters import resources
from llmworker_operator.adapters.errors import ConflictError, GoneError, RefusedError
from llmworker_operator.adapters.events import Subject
from llmworker_operator.builders.metadata import owner_reference
from llmworker_operator.domain.detachment import to_delete, to_detach
from llmworker_operator.reconcile.incidents import decide_for

if TYPE_CHECKING:
    from llmworker_operator.domain.replica import Replica
    from llmworker_operator.domain.snapshot import Snapshot
    from llmworker_operator.domain.worker import Worker
    from llmworker_operator.reconcile.context import Context

logger = logging.getLogger(__name__)


def detach_patch(replica: Replica, worker: Worker) -> dict[str, Any]:
    """No selector of the worker matches it any more: its ReplicaSet lets it go and makes another.

    The worker owns it from now on, so that it is removed with the worker.
    """
    return {
        "metadata": {
            "uid": replica.uid,
            "resourceVersion": replica.resource_version,
            "labels": {names.LABEL_WORKER: names.detached_label(worker.key.name)},
            "ownerReferences": [owner_reference(worker, controller=False)],
        }
    }


async def settle_quarantine(context: Context, snapshot: Snapshot) -> None:
    """Level-triggered; both writes carry preconditions. Raises KubeError."""
    worker, cache = snapshot.worker, context.cache
    aside = cache.detached(worker.key)
    for replica in to_delete(aside):
        await context.kube.delete(resources.PODS, worker.key.namespace, replica.name, uid=replica.uid)
        _told(context, worker, replica, "deleted", f"deleted detached pod {replica.name}, released: {replica.released}")
    if worker.watchdog.remediation.quarantine is not QuarantineChoice.DETACH:
        return
    decision = decide_for(context, worker, snapshot.now)
    replicas = cache.replicas.of(worker.key)
    incidents = cache.incidents.of(worker.key)
    policy = cache.policy_of(worker)
    for replica in to_detach(policy, incidents, replicas, aside=aside, brakes=decision.brakes):
        await _detach(context, worker, replica)


async def _detach(context: Context, worker: Worker, replica: Replica) -> None:
    try:
        answer = await context.kube.patch(
            resources.PODS, worker.key.namespace, replica.name, detach_patch(replica, worker)
        )
    except (ConflictError, GoneError, RefusedError) as error:
        logger.info("pod %s is not detached: %s", replica.name, error.message)
        return
    context.cache.answered(resources.PODS, answer)
    _told(context, worker, replica, "detached", f"detached pod {replica.name}: it is kept until it is released")


def _told(context: Context, worker: Worker, replica: Replica, how: str, note: str) -> None:
    context.metrics.pods_given_up.labels(how=how).inc()
    logger.info("%s", note, extra={"namespace": worker.key.namespace, "worker": worker.key.name, "pod": replica.name})
    subject = Subject.worker(worker)
    context.tell(subject, f"Pod{how.capitalize()}", note, warning=how == "detached")

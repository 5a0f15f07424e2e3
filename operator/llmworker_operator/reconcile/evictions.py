"""Evicts the pods whose watchdogs ordered it; what refuses that is asked again and again, and said."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import Rung
from llmworker_operator.adapters.errors import ConflictError, GoneError, RefusedError, UnreachableError
from llmworker_operator.adapters.events import Subject
from llmworker_operator.domain.replacement import to_evict
from llmworker_operator.reconcile.precondition import admission_problems

if TYPE_CHECKING:
    from llmworker_operator.domain.record import IncidentView
    from llmworker_operator.domain.replica import Replica
    from llmworker_operator.domain.worker import Worker, WorkerKey
    from llmworker_operator.reconcile.context import Context

logger = logging.getLogger(__name__)

EVICTION_PERIOD: Final = timedelta(seconds=5)
"""Between attempts: nobody wakes us when a PodDisruptionBudget lets a pod go."""

EVICTION_REFUSED: Final = "EvictionRefused"
"""Reason of the Event and of `RemediationHeld`."""


async def evict_ordered(context: Context, worker: Worker) -> timedelta | None:
    """After how long to look again. Raises KubeError where the API server cannot be reached."""
    cache, key = context.cache, worker.key
    if admission_problems(cache):  # then a watchdog may have written what it likes
        context.refusals.keep(key, {})
        return None
    due = to_evict(cache.policy_of(worker), cache.incidents.of(key), cache.replicas.of(key))
    before, said = context.refusals.of(key), dict[str, str]()
    for incident, replica in due:
        why = await _evict(context, key, incident, replica)
        if why:
            said[incident.name] = f"pod {replica.name} is not evicted: {why}"
            if said[incident.name] != before.get(incident.name):
                _tell(context, key, incident, EVICTION_REFUSED, said[incident.name], warning=True)
    context.refusals.keep(key, said)
    return EVICTION_PERIOD if due else None


async def _evict(context: Context, key: WorkerKey, incident: IncidentView, replica: Replica) -> str:
    """Why not; empty where it is on its way, or no longer as it was seen."""
    try:
        await context.kube.evict(
            key.namespace, replica.name, uid=replica.uid, resource_version=replica.resource_version
        )
    except (ConflictError, GoneError) as error:
        logger.info("not evicted, it has changed: %s", error.message, extra=_extra(key, incident))
        return ""
    except RefusedError as error:
        return error.message
    except UnreachableError as error:
        if not error.status:
            raise
        return error.message
    context.metrics.pods_given_up.labels(how="evicted").inc()
    _tell(context, key, incident, "Evicted", f"evicted pod {replica.name} from node {replica.node}: {Rung.REPLACE_POD}")
    return ""


def _tell(
    context: Context, key: WorkerKey, incident: IncidentView, reason: str, note: str, *, warning: bool = False
) -> None:
    logger.info("%s", note, extra=_extra(key, incident))
    subject = Subject.incident(incident, key.namespace)
    context.tell(subject, reason, note, warning=warning)


def _extra(key: WorkerKey, incident: IncidentView) -> dict[str, str]:
    return {"namespace": key.namespace, "worker": key.name, "incident": incident.name, "pod": incident.pod_name}

"""Writes to running pods: how `Restart` is done there, and the next watchdog image, one pod at a time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from llm_watchdog.api import names
from llmworker_operator.adapters import resources
from llmworker_operator.adapters.errors import ConflictError, GoneError, RefusedError
from llmworker_operator.domain.lending import references_to_write
from llmworker_operator.domain.replica import ANNOTATION_WATCHDOG_UPDATE
from llmworker_operator.domain.rollout import read_rollout
from llmworker_operator.domain.watchdog_update import UpdateDecision, decide_update
from llmworker_operator.reconcile.plan import methods_to_write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmworker_operator.domain.replica import Replica
    from llmworker_operator.domain.snapshot import Snapshot
    from llmworker_operator.domain.worker import WorkerKey
    from llmworker_operator.reconcile.context import Context

logger = logging.getLogger(__name__)


def method_patch(replica: Replica, method: str) -> dict[str, Any]:
    annotations = {names.ANNOTATION_RESTART_METHOD: method}
    return {"metadata": {"uid": replica.uid, "annotations": annotations}}


def image_patch(replica: Replica, image: str) -> dict[str, Any]:
    """The old container's id goes with it: whether the new one runs can be told from it, also by the next leader."""
    before = replica.sidecar.container_id if replica.sidecar else ""
    annotations = {ANNOTATION_WATCHDOG_UPDATE: before or replica.update_from}
    return {
        "metadata": {"uid": replica.uid, "resourceVersion": replica.resource_version, "annotations": annotations},
        "spec": {"initContainers": [{"name": names.WATCHDOG_CONTAINER, "image": image}]},
    }


def finished_patch(replica: Replica) -> dict[str, Any]:
    annotations = {ANNOTATION_WATCHDOG_UPDATE: None}
    return {"metadata": {"uid": replica.uid, "resourceVersion": replica.resource_version, "annotations": annotations}}


def reference_patch(replica: Replica, reference: str) -> dict[str, Any]:
    annotations = {names.ANNOTATION_REFERENCE: reference or None}
    return {"metadata": {"uid": replica.uid, "resourceVersion": replica.resource_version, "annotations": annotations}}


async def write_methods(context: Context, snapshot: Snapshot) -> None:
    """Read by the watchdog through the downward API."""
    for replica, method in methods_to_write(snapshot):
        await _patch(context, snapshot.worker.key, replica, method_patch(replica, method), f"restart method {method}")


async def write_references(context: Context, snapshot: Snapshot) -> None:
    """Read by the watchdog from its own pod. What an earlier leader wrote stays until this one has compared."""
    key = snapshot.worker.key
    confirmed = context.dissents.confirmed(key)
    if confirmed is None:
        return
    deployment = snapshot.children.get(("Deployment", key.name))
    due = references_to_write(
        confirmed,
        worker=snapshot.worker,
        replicas=snapshot.replicas,
        incidents=snapshot.incidents,
        rollout=read_rollout(deployment.document if deployment else None),
    )
    for replica, reference in due:
        what = "told what the other replicas answer" if reference else "no longer told what the other replicas answer"
        await _patch(context, key, replica, reference_patch(replica, reference), what)


async def update_watchdogs(context: Context, snapshot: Snapshot) -> UpdateDecision:
    """At most one patch over all workers."""
    image, key = context.settings.watchdog_image, snapshot.worker.key
    async with context.update_lock:
        cache = context.cache
        everywhere = [replica for replica in cache.replicas.values() if not replica.detached]
        decision = decide_update(cache.replicas.of(key), everywhere, cache.incidents.of(key), image)
        for done in decision.finished:
            if done != decision.patch:
                await _patch(context, key, done, finished_patch(done), "watchdog exchanged")
        if decision.patch:
            await _patch(context, key, decision.patch, image_patch(decision.patch, image), f"watchdog image {image}")
    return decision


async def _patch(context: Context, key: WorkerKey, replica: Replica, body: Mapping[str, Any], what: str) -> None:
    try:
        answer = await context.kube.patch(resources.PODS, key.namespace, replica.name, body)
    except (ConflictError, GoneError, RefusedError) as error:
        logger.info("%s not written: %s", what, error.message, extra=_extra(key, replica))
        return
    context.cache.answered(resources.PODS, answer)
    logger.info("%s", what, extra=_extra(key, replica))


def _extra(key: WorkerKey, replica: Replica) -> dict[str, str]:
    return {"namespace": key.namespace, "worker": key.name, "pod": replica.name}

"""Takes the snapshot. What the cache does not have is read from the API server: nothing foreign is run over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_watchdog.api import names
from llmworker_operator.adapters import resources
from llmworker_operator.builders.controllerrevision import revision_name
from llmworker_operator.builders.pod_template import spec_hash
from llmworker_operator.domain.child import Child, read_child
from llmworker_operator.domain.snapshot import ChildId, Snapshot
from llmworker_operator.reconcile.precondition import admission_problems

if TYPE_CHECKING:
    from llmworker_operator.adapters.resources import Resource
    from llmworker_operator.domain.worker import Worker
    from llmworker_operator.reconcile.context import Context


def _names(worker: Worker) -> list[tuple[Resource, str]]:
    name = worker.key.name
    return [
        (resources.DEPLOYMENTS, name),
        (resources.SERVICES, name),
        (resources.CONFIG_MAPS, names.policy_config_map(name)),
        (resources.BUDGETS, name),
        (resources.REVISIONS, revision_name(name, spec_hash(worker))),
        (resources.SERVICE_ACCOUNTS, names.WATCHDOG_SERVICE_ACCOUNT),
        (resources.ROLE_BINDINGS, names.WATCHDOG_SERVICE_ACCOUNT),
    ]


async def _children(context: Context, worker: Worker) -> dict[ChildId, Child]:
    children: dict[ChildId, Child] = {}
    for revision in context.cache.children[resources.REVISIONS].of(worker.key):
        children[(resources.REVISIONS.kind, revision.name)] = revision
    for resource, name in _names(worker):
        child = context.cache.children[resource].get(worker.key.namespace, name)
        if child is None:
            document = await context.kube.get(resource, worker.key.namespace, name)
            child = read_child(document) if document else None
        if child is not None:
            children[(resource.kind, name)] = child
    return children


async def _kubelets(context: Context, worker: Worker) -> dict[str, str]:
    """Nodes are not watched, their heartbeats are many; a new one is read when a pod is on it."""
    cache = context.cache
    for node in {replica.node for replica in cache.replicas.of(worker.key)} - {""} - cache.kubelets().keys():
        document = await context.kube.get(resources.NODES, "", node)
        if document:
            cache.answered(resources.NODES, document)
    return cache.kubelets()


async def gather(context: Context, worker: Worker) -> Snapshot:
    cache = context.cache
    children = await _children(context, worker)
    return Snapshot(
        worker=worker,
        neighbours=cache.neighbours(worker.key.namespace),
        replicas=cache.replicas.of(worker.key),
        incidents=cache.incidents.of(worker.key),
        children=children,
        kubelets=await _kubelets(context, worker),
        admission_problems=admission_problems(cache),
        now=context.clock(),
        pause=cache.cluster_pause(),
    )

"""What the operator knows of the cluster: stores fed by watches, healed by relists, and whom a change concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from llm_watchdog.api import names
from llmworker_operator.adapters import resources
from llmworker_operator.adapters.store import Store, name_of, version_of
from llmworker_operator.domain.child import Child, read_child
from llmworker_operator.domain.cluster_pause import ClusterPause, in_force, with_pause
from llmworker_operator.domain.node import NodeView, read_node
from llmworker_operator.domain.record import IncidentView, read_incident
from llmworker_operator.domain.replica import Replica, read_replica
from llmworker_operator.domain.worker import UnreadableWorker, Worker, WorkerKey, read_worker

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from llm_watchdog.api.policy import WatchdogPolicy
    from llmworker_operator.adapters.resources import Resource

EVERYBODY: Final = "everybody"
"""Group of what concerns all workers."""


class Aside(NamedTuple):
    """Group of the pods that were taken out of a worker's ReplicaSet. Three fields, so that it equals no WorkerKey."""

    namespace: str
    worker: str
    detached: str = names.DETACHED_SUFFIX


AnyWorker = Worker | UnreadableWorker


def _by_label(document: Mapping[str, Any]) -> WorkerKey | None:
    metadata = document["metadata"]
    worker = (metadata.get("labels") or {}).get(names.LABEL_WORKER)
    return WorkerKey(metadata["namespace"], worker) if worker else None


def _by_pod_label(document: Mapping[str, Any]) -> WorkerKey | Aside | None:
    key = _by_label(document)
    if key is None or not key.name.endswith(names.DETACHED_SUFFIX):
        return key
    return Aside(key.namespace, key.name.removesuffix(names.DETACHED_SUFFIX))


def _by_worker_ref(document: Mapping[str, Any]) -> WorkerKey | None:
    worker = ((document.get("spec") or {}).get("workerRef") or {}).get("name")
    return WorkerKey(document["metadata"]["namespace"], worker) if worker else None


def _by_own_name(document: Mapping[str, Any]) -> WorkerKey:
    return WorkerKey(document["metadata"]["namespace"], document["metadata"]["name"])


def _by_namespace(document: Mapping[str, Any]) -> str | None:
    metadata = document["metadata"]
    return str(metadata["namespace"]) if metadata["name"] == names.WATCHDOG_SERVICE_ACCOUNT else None


def _everybody(_document: Mapping[str, Any]) -> str:
    return EVERYBODY


def _ours(document: Mapping[str, Any]) -> str | None:
    return EVERYBODY if document["metadata"]["name"].startswith(names.ADMISSION_POLICY) else None


class Cache:
    """Reads are synchronous and cheap. Every change returns the keys of the workers that it concerns."""

    def __init__(self) -> None:
        self.workers: Store[AnyWorker] = Store(read_worker, _by_own_name)
        self.incidents: Store[IncidentView] = Store(read_incident, _by_worker_ref)
        self.replicas: Store[Replica] = Store(read_replica, _by_pod_label)
        self.nodes: Store[NodeView] = Store(read_node, _everybody)
        self.children: dict[Resource, Store[Child]] = {
            **{resource: Store(read_child, _by_label) for resource in resources.OWN_CHILDREN},
            **{resource: Store(read_child, _by_namespace) for resource in resources.SHARED_CHILDREN},
        }
        self.admission: dict[Resource, Store[Child]] = {
            resource: Store(read_child, _ours) for resource in resources.ADMISSION
        }
        self._pause: ClusterPause | None = None
        self._stores: dict[Resource, Store[Any]] = {
            resources.WORKERS: self.workers,
            resources.INCIDENTS: self.incidents,
            resources.PODS: self.replicas,
            resources.NODES: self.nodes,
            **self.children,
            **self.admission,
        }

    def sizes(self) -> dict[str, int]:
        return {resource.plural: len(store) for resource, store in self._stores.items()}

    def put(self, resource: Resource, document: Mapping[str, Any]) -> set[WorkerKey]:
        return self._keys(self._stores[resource].put(document))

    def listed(self, resource: Resource, document: Mapping[str, Any]) -> set[WorkerKey]:
        return self._keys(self._stores[resource].listed(document))

    def answered(self, resource: Resource, document: Mapping[str, Any]) -> None:
        """What a request of ours brought: in the cache at once, and no news to anybody."""
        self._stores[resource].answered(document)

    def removed(self, resource: Resource, document: Mapping[str, Any]) -> set[WorkerKey]:
        return self._keys(self._stores[resource].remove(name_of(document), version_of(document)))

    def forget(self, resource: Resource, namespace: str, name: str) -> None:
        """We removed it ourselves just now."""
        self._stores[resource].remove((namespace, name), 0)

    def kubelets(self) -> dict[str, str]:
        return {name: node.kubelet for name, node in self.nodes.named().items()}

    def keep_only(self, resource: Resource, listed: set[tuple[str, str]], list_version: int) -> set[WorkerKey]:
        return self._keys(self._stores[resource].keep_only(listed, list_version))

    def turn(self, switch: ClusterPause) -> set[WorkerKey]:
        """The switch of the whole cluster, as it was read now; all workers have to be known by then."""
        before = self._pause
        self._pause = in_force(switch, before, (worker.status for worker in self.workers.values()))
        return {worker.key for worker in self.workers.values()} if self._pause != before else set()

    def policy_of(self, worker: Worker) -> WatchdogPolicy:
        """Its own, paused for as long as the whole cluster is."""
        return with_pause(worker.watchdog, self.cluster_pause())

    def cluster_pause(self) -> ClusterPause:
        """What is in force."""
        return self._pause or ClusterPause()

    def known(self) -> set[WorkerKey]:
        """Workers, and those of whom only incidents are left."""
        return {key for store in (self.workers, self.incidents) for key in store.groups() if isinstance(key, WorkerKey)}

    def detached(self, key: WorkerKey) -> list[Replica]:
        """Pods that were kept aside and are no replicas of the worker any more."""
        return self.replicas.of(Aside(key.namespace, key.name))

    def neighbours(self, namespace: str) -> list[Worker]:
        """The workers of a namespace that are there to stay."""
        return [w for w in self._workers_in(namespace) if isinstance(w, Worker) and not w.deleting]

    def _workers_in(self, namespace: str) -> Iterable[AnyWorker]:
        return (w for w in self.workers.values() if w.key.namespace == namespace)

    def _keys(self, groups: set[Hashable]) -> set[WorkerKey]:
        keys: set[WorkerKey] = set()
        for group in groups:
            if isinstance(group, WorkerKey):
                keys.add(group)
            elif isinstance(group, Aside):
                keys.add(WorkerKey(group.namespace, group.worker))
            elif group == EVERYBODY:
                keys |= {w.key for w in self.workers.values()}
            else:
                keys |= {w.key for w in self._workers_in(str(group))}
        return keys

"""Workers, nodes and pods as objects: what controllers, scheduler and kubelets would have made of them."""

from __future__ import annotations

import asyncio
import copy
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.remediation.plan import PER_NODE
from llm_watchdog.api import names
from llm_watchdog.api.incident import PodRef
from llm_watchdog.api.reasons import RotationReason
from llm_watchdog.recorder.kube import STRATEGIC

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from benchmarks.remediation.client import Client
    from benchmarks.remediation.plan import WorkerPlan

WORKERS: Final = f"/apis/{names.API_VERSION}/{names.WORKER_PLURAL}"
DEPLOYMENTS: Final = "/apis/apps/v1/deployments"
KUBELET: Final = "v1.36.3"
HASH: Final = "5d8f7c9b6"
TOKEN_SECONDS: Final = 7200
MERGE: Final = "application/merge-patch+json"
AT_ONCE: Final = 64
_NODE_INFO: Final = (
    *("architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion", "machineID"),
    *("operatingSystem", "osImage", "systemUUID"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A replica, and its watchdog's token."""

    namespace: str
    ref: PodRef
    token: str = ""

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.ref.name}"


async def together(work: Iterable[Coroutine[Any, Any, Any]], at_once: int = AT_ONCE) -> list[Any]:
    """In the order given."""
    gate = asyncio.Semaphore(at_once)

    async def one(each: Coroutine[Any, Any, Any]) -> Any:
        async with gate:
            return await each

    return await asyncio.gather(*(one(each) for each in work))


def namespaced(path: str, namespace: str, name: str = "", subresource: str = "") -> str:
    """Of a path over all namespaces."""
    head, _, plural = path.rpartition("/")
    return "/".join(part for part in (f"{head}/namespaces/{namespace}/{plural}", name, subresource) if part)


def worker_manifest(plan: WorkerPlan) -> dict[str, Any]:
    """All defaults but the budget's size."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.WORKER_KIND,
        "metadata": {"name": plan.name, "namespace": plan.namespace},
        "spec": {
            "replicas": plan.replicas,
            "engine": {"type": "vllm"},
            "template": {"spec": {"containers": [{"name": names.ENGINE_CONTAINER, "image": "engine:1"}]}},
            "watchdog": {"remediation": {"budget": {"maxUnavailable": plan.max_unavailable}}},
        },
    }


def pod_manifest(plan: WorkerPlan, number: int, node: str, deployment: dict[str, Any]) -> dict[str, Any]:
    """From the Deployment's template, owned as by a ReplicaSet's controller."""
    template = copy.deepcopy(deployment["spec"]["template"])
    set_name = f"{plan.name}-{HASH}"
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": set_name,
        "uid": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{set_name}.{plan.namespace}")),
        "controller": True,
        "blockOwnerDeletion": True,
    }
    template["metadata"]["labels"]["pod-template-hash"] = HASH
    metadata = {**template["metadata"], "name": f"{set_name}-{number:05}", "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {**template["spec"], "nodeName": node}}


def ready(*, value: bool) -> dict[str, Any]:
    """The kubelet's word, which follows the gate."""
    return {"status": {"conditions": [{"type": "Ready", "status": str(value)}]}}


def _running() -> dict[str, Any]:
    watchdog = {
        "name": names.WATCHDOG_CONTAINER,
        "image": "watchdog:1",
        "imageID": "x",
        "ready": True,
        "restartCount": 0,
        "containerID": "containerd://1",
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }
    gate = {"type": names.ROTATION_GATE, "status": "True", "reason": RotationReason.SERVING.value}
    conditions = [{"type": "Ready", "status": "True"}, gate]
    return {"status": {"phase": "Running", "conditions": conditions, "initContainerStatuses": [watchdog]}}


def _rolled_out(deployment: dict[str, Any]) -> dict[str, Any]:
    replicas = deployment["spec"]["replicas"]
    counted = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    progressing = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": ""}
    return {
        "metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}},
        "status": {
            **dict.fromkeys(counted, replicas),
            "observedGeneration": deployment["metadata"]["generation"],
            "conditions": [progressing],
        },
    }


class Fleet:
    """Made once, and put right between two scenarios."""

    def __init__(self, admin: Client, plans: Sequence[WorkerPlan]) -> None:
        self._admin = admin
        self._plans = plans
        self.pods: dict[tuple[str, str, int], Pod] = {}
        """By namespace, worker and number."""

    async def make_workers(self) -> None:
        replicas = sum(plan.replicas for plan in self._plans)
        await together(self._make_node(f"node-{number:03}") for number in range(-(-replicas // PER_NODE)))
        namespaces = {plan.namespace for plan in self._plans}
        await together(
            self._admin.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}}) for name in namespaces
        )
        await together(
            self._admin.ask("POST", namespaced(WORKERS, plan.namespace), worker_manifest(plan)) for plan in self._plans
        )

    async def make_pods(self) -> None:
        """Of the Deployments that the operator has made meanwhile. Raises KeyError if one is missing."""
        found = {(d["metadata"]["namespace"], d["metadata"]["name"]): d for d in await self._admin.items(DEPLOYMENTS)}
        await together(self._roll_out(found[plan.key]) for plan in self._plans)
        places = [(plan, number) for plan in self._plans for number in range(plan.replicas)]
        made = await together(
            self._make_pod(pod_manifest(plan, number, f"node-{place // PER_NODE:03}", found[plan.key]), plan.namespace)
            for place, (plan, number) in enumerate(places)
        )
        self.pods = {(*plan.key, number): pod for (plan, number), pod in zip(places, made, strict=True)}

    async def reset(self, touched: Iterable[Pod]) -> None:
        """No incident, everybody in rotation."""
        incidents = f"/apis/{names.API_VERSION}/{names.INCIDENT_PLURAL}"
        for namespace in sorted({plan.namespace for plan in self._plans}):
            await self._admin.ask("DELETE", namespaced(incidents, namespace))
        await together(self._admin.ask("PATCH", f"{pod.path}/status", _running(), content=STRATEGIC) for pod in touched)

    async def with_token(self, pod: Pod) -> Pod:
        """As the kubelet mounts it: bound to the pod."""
        bound = {"kind": "Pod", "apiVersion": "v1", "name": pod.ref.name, "uid": pod.ref.uid}
        account = f"/api/v1/namespaces/{pod.namespace}/serviceaccounts/{names.WATCHDOG_SERVICE_ACCOUNT}/token"
        body = {"spec": {"expirationSeconds": TOKEN_SECONDS, "boundObjectRef": bound}}
        answer = await self._admin.ask("POST", account, body)
        return Pod(namespace=pod.namespace, ref=pod.ref, token=answer["status"]["token"])

    async def held(self) -> dict[tuple[str, str], str]:
        """Reason of `RemediationHeld` by worker."""
        found = {}
        for worker in await self._admin.items(WORKERS):
            for condition in (worker.get("status") or {}).get("conditions") or ():
                if condition["type"] == "RemediationHeld":
                    metadata = worker["metadata"]
                    found[metadata["namespace"], metadata["name"]] = str(condition["reason"])
        return found

    async def _make_node(self, name: str) -> None:
        await self._admin.ask("POST", "/api/v1/nodes", {"metadata": {"name": name}})
        info = {**dict.fromkeys(_NODE_INFO, "x"), "kubeletVersion": KUBELET}
        await self._admin.ask("PATCH", f"/api/v1/nodes/{name}/status", {"status": {"nodeInfo": info}}, content=MERGE)

    async def _roll_out(self, deployment: dict[str, Any]) -> None:
        metadata = deployment["metadata"]
        path = namespaced(DEPLOYMENTS, metadata["namespace"], metadata["name"])
        await self._admin.ask("PATCH", f"{path}/status", _rolled_out(deployment), content=MERGE)

    async def _make_pod(self, manifest: dict[str, Any], namespace: str) -> Pod:
        made = await self._admin.ask("POST", f"/api/v1/namespaces/{namespace}/pods", manifest)
        metadata = made["metadata"]
        pod = Pod(
            namespace=namespace,
            ref=PodRef(name=metadata["name"], uid=metadata["uid"], node=manifest["spec"]["nodeName"]),
        )
        await self._admin.ask("PATCH", f"{pod.path}/status", _running(), content=STRATEGIC)
        return pod

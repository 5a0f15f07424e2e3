"""A worker with nodes, pods and incidents, made by hand as controllers, kubelets and watchdogs would make them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.operator.live.worker import settled, worker_manifest

if TYPE_CHECKING:
    from tests.operator.live.api import Api


def stamp(ago: float = 0) -> str:
    return (datetime.now(UTC) - timedelta(seconds=ago)).isoformat().replace("+00:00", "Z")


def make_pod(api: Api, namespace: str, name: str, template: dict[str, Any], node: str) -> str:
    """Running and in rotation; returns its uid."""
    metadata = {**template["metadata"], "name": name, "namespace": namespace}
    made = api.create("pods", {"metadata": metadata, "spec": {**template["spec"], "nodeName": node}})
    set_watchdog(api, namespace, name, f"containerd://first-{name}")
    return str(made["metadata"]["uid"])


def set_watchdog(
    api: Api,
    namespace: str,
    name: str,
    container_id: str,
    *,
    ready: bool = True,
    waiting: str = "",
    rotation: str = "",
) -> None:
    """As the kubelet reports it."""
    value = "True" if ready else "False"
    conditions = [{"type": "Ready", "status": value}, {"type": "llmworker.dev/InRotation", "status": value}]
    conditions[1] |= {"reason": rotation} if rotation else {}
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": "2026-11-21T12:00:00Z"}}
    watchdog = {
        "name": "llm-watchdog",
        "image": "x",
        "imageID": "x",
        "ready": not waiting,
        "restartCount": 0,
        "containerID": container_id,
        "state": state,
    }
    status = {"phase": "Running", "conditions": conditions, "initContainerStatuses": [watchdog]}
    api.patch("pods", namespace, name, {"status": status}, "status")


def make_incident(
    api: Api,
    namespace: str,
    name: str,
    pod: str,
    uid: str,
    *,
    detected: float = 0,
    mode: str = "Enforce",
    worker: str = "qwen",
) -> None:
    """Without a status, as it is created."""
    spec = {
        "workerRef": {"name": worker},
        "podRef": {"name": pod, "uid": uid, "node": "new-node"},
        "fault": "StalledStream",
        "detectedAt": stamp(detected),
        "mode": mode,
    }
    kind = {"apiVersion": "llmworker.dev/v1alpha1", "kind": "LLMIncident"}
    api.create("llmincidents", {**kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})


class Fleet:
    """A worker with pods, as the Deployment's controller would make them."""

    def __init__(self, api: Api, namespace: str, *, replicas: int = 3, **watchdog: Any) -> None:
        self.api = api
        self.namespace = namespace
        api.create("llmworkers", worker_manifest(namespace, replicas=replicas, watchdog=watchdog))
        settled(api, namespace)
        self.uids = {f"qwen-x-{n}": self.pod(f"qwen-x-{n}") for n in range(replicas)}

    def out(self, pod: str, reason: str = "Faulty") -> None:
        """Out of rotation, as its watchdog writes it and the kubelet sees it."""
        container = f"containerd://first-{pod}"
        set_watchdog(self.api, self.namespace, pod, container, ready=False, rotation=reason)

    def stopping(self, pod: str) -> bool:
        """Somebody has asked for its end; nobody carries that out but `gone`."""
        found = self.api.get("pods", self.namespace, pod)
        return found is not None and "deletionTimestamp" in found["metadata"]

    def gone(self, pod: str) -> None:
        """As the kubelet ends it."""
        self.api.delete("pods", self.namespace, pod)

    def pod(self, name: str, node: str = "new-node") -> str:
        """From the Deployment's template."""
        deployment = self.api.get("deployments", self.namespace, "qwen")
        assert deployment
        return make_pod(self.api, self.namespace, name, deployment["spec"]["template"], node)

    def incident(self, pod: str, name: str, *, detected: float = 0, mode: str = "Enforce", **status: Any) -> None:
        make_incident(self.api, self.namespace, name, pod, self.uids[pod], detected=detected, mode=mode)
        self.say(name, reason="NoFirstToken", message="No token for 5 s.", **status)

    def ask(self, pod: str, name: str, **fields: Any) -> None:
        self.incident(pod, name, phase="AwaitingGrant", requestedStep="Restart", **fields)

    def say(self, name: str, **status: Any) -> dict[str, Any]:
        return self.api.patch("llmincidents", self.namespace, name, {"status": status}, "status")

    def status(self, name: str) -> dict[str, Any]:
        found = self.api.get("llmincidents", self.namespace, name)
        return (found or {}).get("status") or {}

    def granted(self, name: str) -> dict[str, Any] | None:
        grant: dict[str, Any] | None = self.status(name).get("grant")
        return grant

    def worker(self) -> dict[str, Any]:
        found = self.api.get("llmworkers", self.namespace, "qwen")
        assert found
        return found

    def restarted(self, name: str) -> None:
        """As a watchdog does it: claim, restart, verify, close."""
        steps = [{"step": "Restart", "startedAt": stamp()}]
        self.say(name, phase="Acting", steps=steps)
        self.say(name, phase="Verifying")
        done = [{**steps[0], "finishedAt": stamp(), "outcome": "Succeeded", "proof": "a canary passed"}]
        self.say(name, phase="Closed", outcome="Recovered", closedAt=stamp(), requestedStep=None, steps=done)

"""An LLMWorker on the cluster, as a test or the demo sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from e2e.lab.access import Access, get, items, run, wait_for
from e2e.lab.timeline import condition, serving
from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Collection

SPAWN_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Worker:
    """By namespace and name."""

    access: Access
    namespace: str
    name: str

    def kubectl(self, *args: str) -> str:
        return run(self.access, "-n", self.namespace, *args)

    def object(self) -> dict[str, Any]:
        found = get(self.access, "-n", self.namespace, names.WORKER_PLURAL, self.name)
        return found or {}

    def condition(self, kind: str) -> dict[str, Any] | None:
        return condition(self.object(), kind)

    def pods(self) -> list[dict[str, Any]]:
        """The replicas that are not on their way out, by name."""
        found = items(self.access, "-n", self.namespace, "pods", "-l", f"{names.LABEL_WORKER}={self.name}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def pod(self, name: str) -> dict[str, Any]:
        return get(self.access, "-n", self.namespace, "pod", name) or {}

    def only_pod(self) -> str:
        """The name of the one replica."""
        (pod,) = self.pods()
        return str(pod["metadata"]["name"])

    def incidents(self) -> list[dict[str, Any]]:
        """All records of this worker, oldest first."""
        selector = f"--field-selector=spec.workerRef.name={self.name}"
        found = items(self.access, "-n", self.namespace, names.INCIDENT_PLURAL, selector)
        return sorted(found, key=lambda incident: incident["spec"]["detectedAt"])

    def wait_in_rotation(self, replicas: int, timeout: float = SPAWN_SECONDS) -> list[dict[str, Any]]:
        """Until so many replicas have passed their canary, and the kubelet has seen it."""

        def ready() -> list[dict[str, Any]]:
            pods = self.pods()
            return pods if len(pods) == replicas and all(map(serving, pods)) else []

        return wait_for(f"{replicas} replicas of {self.name} in rotation", ready, timeout=timeout, every=1)

    def wait_incident(self, timeout: float, known: Collection[str] = (), **status: str) -> dict[str, Any]:
        """Until the status of the newest incident, of those with other names than are known, has these values."""

        def match() -> dict[str, Any] | None:
            newest = next((i for i in reversed(self.incidents()) if i["metadata"]["name"] not in known), None)
            seen = (newest or {}).get("status", {})
            return newest if newest and all(seen.get(k) == v for k, v in status.items()) else None

        return wait_for(f"an incident of {self.name} with {status}", match, timeout=timeout)

    def begin_delete(self) -> None:
        """Not awaited; another delete() does."""
        self.kubectl("delete", names.WORKER_PLURAL, self.name, "--ignore-not-found", "--wait=false")

    def forget(self) -> None:
        """Its incidents, which outlive it."""
        self.kubectl("delete", names.INCIDENT_PLURAL, "-l", f"{names.LABEL_WORKER}={self.name}")

    def delete(self) -> None:
        self.kubectl("delete", names.WORKER_PLURAL, self.name, "--ignore-not-found", "--wait")

        def gone() -> bool:
            return not items(self.access, "-n", self.namespace, "pods", "-l", f"{names.LABEL_WORKER}={self.name}")

        wait_for(f"the pods of {self.name} to be gone", gone, timeout=SPAWN_SECONDS)

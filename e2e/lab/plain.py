"""The rival in the same run: a plain Deployment of the same engine with the probes that KServe sets.

Source of the numbers: KServe's default vLLM runtime, liveness `/health` every 10 s x 10, readiness every 1 s x 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from e2e.lab.access import Access, apply, items, run, wait_for
from e2e.lab.timeline import Timeline, condition

GONE_SECONDS = 60
LIVENESS_PERIOD, LIVENESS_FAILURES, LIVENESS_TIMEOUT = 10, 10, 5
PROBES_SECONDS = LIVENESS_PERIOD * (LIVENESS_FAILURES + 1) + LIVENESS_TIMEOUT
"""After the fault, at most, these probes have started the container anew, or they do not see the fault."""


def manifests(
    namespace: str, name: str, template: dict[str, Any], *, port: int, replicas: int = 1
) -> list[dict[str, Any]]:
    """Deployment and Service around the engine container of a worker's template."""
    labels = {"app.kubernetes.io/name": name}
    spec = {**template["spec"], "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 5}
    health = {"httpGet": {"path": "/health", "port": port}}
    engine = {
        **template["spec"]["containers"][0],
        "livenessProbe": {
            **health,
            "periodSeconds": LIVENESS_PERIOD,
            "failureThreshold": LIVENESS_FAILURES,
            "timeoutSeconds": LIVENESS_TIMEOUT,
        },
        "readinessProbe": {**health, "periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 1},
        "startupProbe": {**health, "periodSeconds": 2, "failureThreshold": 300, "timeoutSeconds": 2},
    }
    pod = {"metadata": {"labels": labels}, "spec": {**spec, "containers": [engine]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": labels, "ports": [{"name": "http", "port": port, "targetPort": port}]},
    }
    return [deployment, service]


def is_settled(times: Timeline, elapsed: float, start_seconds: float) -> bool:
    """Whether waiting on would show nothing new, `elapsed` seconds after the fault. `start_seconds` is the engine's."""
    acted = times.out_of_rotation is not None or times.restarted is not None
    return times.recovered is not None or elapsed > PROBES_SECONDS + (start_seconds if acted else 0)


@dataclass(frozen=True, slots=True)
class Plain:
    """One such Deployment of one replica, with its Service."""

    access: Access
    namespace: str
    name: str

    @classmethod
    def start(cls, access: Access, namespace: str, name: str, template: dict[str, Any], *, port: int) -> Plain:
        """Applied; the engine may take its time."""
        apply(access, *manifests(namespace, name, template, port=port))
        return cls(access, namespace, name)

    def pods(self) -> list[dict[str, Any]]:
        """Those on their way out too."""
        return items(self.access, "-n", self.namespace, "pods", "-l", f"app.kubernetes.io/name={self.name}")

    def wait_ready(self, timeout: float) -> str:
        """The pod's name, once it is Ready."""

        def ready() -> str | None:
            states = {pod["metadata"]["name"]: condition(pod, "Ready") for pod in self.pods()}
            return next((name for name, state in states.items() if state and state["status"] == "True"), None)

        return wait_for(f"the pod of {self.name} to be Ready", ready, timeout=timeout, every=1)

    def delete(self) -> None:
        """Returns when its memory is free again."""
        run(self.access, "-n", self.namespace, "delete", "deployment,service", self.name)
        wait_for(f"the pod of {self.name} to be gone", lambda: not self.pods(), timeout=GONE_SECONDS)

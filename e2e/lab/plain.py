"""The rival in the same run: a plain Deployment of the same engine with the probes that KServe sets.

Source of the numbers: KServe's default vLLM runtime, liveness `/health` every 10 s x 10, readiness every 1 s x 2.
"""

from __future__ import annotations

from typing import Any

NAME = "plain"


def manifests(namespace: str, template: dict[str, Any], *, port: int, replicas: int = 1) -> list[dict[str, Any]]:
    """Deployment and Service around the engine container of a worker's template."""
    labels = {"app.kubernetes.io/name": NAME}
    spec = {**template["spec"], "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 5}
    health = {"httpGet": {"path": "/health", "port": port}}
    engine = {
        **template["spec"]["containers"][0],
        "livenessProbe": {**health, "periodSeconds": 10, "failureThreshold": 10, "timeoutSeconds": 5},
        "readinessProbe": {**health, "periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 1},
        "startupProbe": {**health, "periodSeconds": 2, "failureThreshold": 300, "timeoutSeconds": 2},
    }
    pod = {"metadata": {"labels": labels}, "spec": {**spec, "containers": [engine]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {"selector": labels, "ports": [{"name": "http", "port": port, "targetPort": port}]},
    }
    return [deployment, service]

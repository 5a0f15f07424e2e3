"""A worker as a user applies it, and once the operator has looked at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.operator.live.api import until

if TYPE_CHECKING:
    from tests.operator.live.api import Api


def worker_manifest(namespace: str, name: str = "qwen", **spec: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "engine", "image": "engine:1"}]}}
    return {
        "apiVersion": "llmworker.dev/v1alpha1",
        "kind": "LLMWorker",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"engine": {"type": "openai"}, "template": template, "replicas": 2, **spec},
    }


def settled(api: Api, namespace: str, name: str = "qwen") -> dict[str, Any]:
    """The worker once the operator has written a status for its present generation."""

    def probe() -> dict[str, Any] | None:
        worker = api.get("llmworkers", namespace, name)
        seen = ((worker or {}).get("status") or {}).get("observedGeneration")
        return worker if worker and seen == worker["metadata"]["generation"] else None

    return until(probe)

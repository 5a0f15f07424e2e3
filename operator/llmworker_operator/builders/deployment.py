"""The Deployment of a worker's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llmworker_operator.builders.metadata import child_metadata, stamped, worker_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmworker_operator.domain.worker import Worker


DEFAULT_SHARE: Final = "25%"


def _strategy(worker: Worker) -> dict[str, Any]:
    """Written out in full: a default that nobody applied stays behind when the type changes, and is refused there."""
    if worker.strategy.get("type") == "Recreate":
        return {"type": "Recreate"}
    wished = worker.strategy.get("rollingUpdate") or {}
    share = {field: wished.get(field, DEFAULT_SHARE) for field in ("maxSurge", "maxUnavailable")}
    return {"type": "RollingUpdate", "rollingUpdate": share}


def _said(annotations: Mapping[str, str] | None) -> dict[str, Any]:
    return {"annotations": dict(annotations)} if annotations else {}


def deployment(
    worker: Worker, template: Mapping[str, Any], annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "replicas": worker.replicas,
        "selector": {"matchLabels": worker_labels(worker.key.name)},
        "progressDeadlineSeconds": worker.progress_deadline_seconds,
        "strategy": _strategy(worker),
        "template": dict(template),
    }
    return stamped(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {**child_metadata(worker, worker.key.name), **_said(annotations)},
            "spec": spec,
        }
    )

"""The Service of a worker's name: what users talk to. Only replicas in rotation are behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmworker_operator.builders.metadata import child_metadata, stamped, worker_labels

if TYPE_CHECKING:
    from llmworker_operator.domain.worker import Worker


def service(worker: Worker) -> dict[str, Any]:
    port = worker.engine.port
    return stamped(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": child_metadata(worker, worker.key.name),
            "spec": {
                "selector": worker_labels(worker.key.name),
                "ports": [{"name": "http", "port": port, "targetPort": port, "protocol": "TCP"}],
            },
        }
    )

"""The PodDisruptionBudget: evictions by others keep to the same budget as our own steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmworker_operator.builders.metadata import child_metadata, stamped, worker_labels

if TYPE_CHECKING:
    from llmworker_operator.domain.worker import Worker


def disruption_budget(worker: Worker) -> dict[str, Any]:
    """`AlwaysAllow`: a replica that is out of rotation may be evicted, or a hung one would block a node's drain.

    Always a number: Kubernetes rounds a percentage up there, and would allow more than the budget does.
    """
    return stamped(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": child_metadata(worker, worker.key.name),
            "spec": {
                "maxUnavailable": worker.max_unavailable,
                "selector": {"matchLabels": worker_labels(worker.key.name)},
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }
    )

"""The rights of a namespace's watchdogs: one binding to the one ClusterRole that the operator may bind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_watchdog.api import names
from llmworker_operator.builders.metadata import shared_metadata, stamped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llmworker_operator.domain.worker import Worker


def role_binding(namespace: str, workers: Iterable[Worker]) -> dict[str, Any]:
    """Given only while the admission policies that confine its token are in force (invariant 11)."""
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": names.WATCHDOG_SERVICE_ACCOUNT, "namespace": namespace}
    return stamped(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": shared_metadata(namespace, workers),
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": names.WATCHDOG_CLUSTER_ROLE},
            "subjects": [subject],
        }
    )

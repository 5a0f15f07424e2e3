"""The volumes that come with the watchdog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api import names

if TYPE_CHECKING:
    from llmworker_operator.domain.worker import Worker

TOKEN_SECONDS: Final = 3607
"""What Kubernetes itself asks for; the kubelet renews it."""

ORDERS_SIZE: Final = "1Mi"
JOURNAL_SIZE: Final = "64Mi"


def _annotation(path: str, annotation: str) -> dict[str, Any]:
    return {"path": path, "fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}


def _pod_info() -> dict[str, Any]:
    items = [
        _annotation(names.POD_INFO_RESTART_METHOD, names.ANNOTATION_RESTART_METHOD),
        _annotation(names.POD_INFO_RELEASE, names.ANNOTATION_RELEASE),
    ]
    return {"name": names.VOLUME_POD_INFO, "downwardAPI": {"items": items}}


def _token() -> dict[str, Any]:
    namespace = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
        {"configMap": authority},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"name": names.VOLUME_TOKEN, "projected": {"sources": sources}}


def volumes(worker: Worker) -> list[dict[str, Any]]:
    """Journal for the watchdog alone, orders for watchdog and engine, and what is read-only."""
    listed: list[dict[str, Any]] = [
        {"name": names.VOLUME_JOURNAL, "emptyDir": {"sizeLimit": JOURNAL_SIZE}},
        {"name": names.VOLUME_ORDERS, "emptyDir": {"sizeLimit": ORDERS_SIZE}},
        {"name": names.VOLUME_POLICY, "configMap": {"name": names.policy_config_map(worker.key.name)}},
        _pod_info(),
        _token(),
    ]
    if worker.api_key:
        item = {"key": worker.api_key.key, "path": names.API_KEY_FILE}
        listed.append({"name": names.VOLUME_API_KEY, "secret": {"secretName": worker.api_key.name, "items": [item]}})
    return listed

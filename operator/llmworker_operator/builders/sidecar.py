"""The watchdog's container: a native sidecar that pod security `restricted` admits, with no probe of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api import names

if TYPE_CHECKING:
    from llmworker_operator.domain.worker import Worker

_FIELDS: Final = {
    names.ENV_POD_NAME: "metadata.name",
    names.ENV_POD_NAMESPACE: "metadata.namespace",
    names.ENV_POD_UID: "metadata.uid",
    names.ENV_NODE_NAME: "spec.nodeName",
}

RESOURCES: Final = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
"""No CPU limit: throttling would make it late exactly when the node is busy."""

SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}

RESTART_RULES: Final = [
    {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [names.RESTART_EXIT_CODE]}}
]


def _env(worker: Worker) -> list[dict[str, Any]]:
    fields = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in _FIELDS.items()]
    return [{"name": names.ENV_WORKER, "value": worker.key.name}, *fields]


def _mounts(worker: Worker) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": names.VOLUME_JOURNAL, "mountPath": names.JOURNAL_DIR},
        {"name": names.VOLUME_ORDERS, "mountPath": names.ORDERS_DIR},
        {"name": names.VOLUME_POLICY, "mountPath": names.POLICY_DIR, "readOnly": True},
        {"name": names.VOLUME_POD_INFO, "mountPath": names.POD_INFO_DIR, "readOnly": True},
        {"name": names.VOLUME_TOKEN, "mountPath": names.TOKEN_DIR, "readOnly": True},
    ]
    if worker.api_key:
        mounts.append({"name": names.VOLUME_API_KEY, "mountPath": names.API_KEY_DIR, "readOnly": True})
    return mounts


def sidecar(worker: Worker, image: str, *, pull_policy: str, restart_rules: bool) -> dict[str, Any]:
    """`restart_rules`: whether the API server knows them."""
    container: dict[str, Any] = {
        "name": names.WATCHDOG_CONTAINER,
        "image": image,
        "imagePullPolicy": pull_policy,
        "restartPolicy": "Always",
        "env": _env(worker),
        "ports": [{"name": names.WATCHDOG_PORT_NAME, "containerPort": names.WATCHDOG_PORT, "protocol": "TCP"}],
        "resources": RESOURCES,
        "securityContext": SECURITY,
        "volumeMounts": _mounts(worker),
    }
    return {**container, "restartPolicyRules": RESTART_RULES} if restart_rules else container

"""Every name that crosses a process boundary: group, labels, annotations, containers, volumes, ports, files."""

from __future__ import annotations

from typing import Final

GROUP: Final = "llmworker.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

WORKER_KIND: Final = "LLMWorker"
WORKER_PLURAL: Final = "llmworkers"
INCIDENT_KIND: Final = "LLMIncident"
INCIDENT_PLURAL: Final = "llmincidents"

LABEL_WORKER: Final = f"{GROUP}/worker"
LABEL_FAULT: Final = f"{GROUP}/fault"
LABEL_POD_UID: Final = f"{GROUP}/pod-uid"

ANNOTATION_RESTART_METHOD: Final = f"{GROUP}/restart-method"
"""On each scheduled pod: how `Restart` is done there. Written by the operator, read through the downward API."""

ANNOTATION_RELEASE: Final = f"{GROUP}/release"
"""On a pod, set by a person: lift the quarantine. The value is free text and ends up in the incident."""

ANNOTATION_REFERENCE: Final = f"{GROUP}/reference-fingerprint"
"""On a pod that answers unlike most others: what those answer. Written by the operator, read by the pod's watchdog."""

DETACHED_SUFFIX: Final = ".detached"
"""Of the label `LABEL_WORKER` of a pod that was taken out of its ReplicaSet. No worker's name has a dot."""

ROTATION_GATE: Final = f"{GROUP}/InRotation"
"""The pod readiness gate that the watchdog owns."""

ENGINE_CONTAINER: Final = "engine"
RESERVED_PREFIX: Final = "llm-watchdog"
"""Containers, volumes and ports of ours start with this; a template that uses it is refused at apply."""
WATCHDOG_CONTAINER: Final = RESERVED_PREFIX
WATCHDOG_PORT_NAME: Final = "llm-watchdog"
WATCHDOG_PORT: Final = 9105

WATCHDOG_SERVICE_ACCOUNT: Final = "llm-watchdog"
WATCHDOG_CLUSTER_ROLE: Final = "llmworker-watchdog"
"""The one ClusterRole the operator may bind."""
ADMISSION_POLICY: Final = "llmworker-watchdog"
"""Name prefix of the ValidatingAdmissionPolicies (and bindings) that confine the watchdog's token."""

WATCHDOG_FIELD_MANAGER: Final = "llm-watchdog"
OPERATOR_FIELD_MANAGER: Final = "llmworker-operator"

VOLUME_JOURNAL: Final = f"{RESERVED_PREFIX}-journal"
VOLUME_ORDERS: Final = f"{RESERVED_PREFIX}-orders"
VOLUME_POLICY: Final = f"{RESERVED_PREFIX}-policy"
VOLUME_POD_INFO: Final = f"{RESERVED_PREFIX}-podinfo"
VOLUME_TOKEN: Final = f"{RESERVED_PREFIX}-token"
VOLUME_API_KEY: Final = f"{RESERVED_PREFIX}-api-key"

JOURNAL_DIR: Final = "/var/lib/llm-watchdog"
ORDERS_DIR: Final = "/var/run/llm-watchdog"
"""Written by the watchdog, mounted read-only by the engine: the fresh restart request of the LivenessProbe method."""
POLICY_DIR: Final = "/etc/llm-watchdog"
POLICY_FILE: Final = "policy.json"
POD_INFO_DIR: Final = "/etc/podinfo"
POD_INFO_RESTART_METHOD: Final = "restart-method"
POD_INFO_RELEASE: Final = "release"
TOKEN_DIR: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
API_KEY_DIR: Final = "/etc/llm-watchdog-api-key"
API_KEY_FILE: Final = "key"
RESTART_REQUEST_FILE: Final = "restart-request"
"""Content: CLOCK_BOOTTIME in whole hundredths of a second when the restart was ordered, and a line end (unit and clock
of `starttime` in /proc/<pid>/stat). The engine's probe ignores a request older than the engine's first process."""

RESTART_EXIT_CODE: Final = 88
"""The watchdog's exit code that `restartPolicyRules` answers with RestartAllContainers."""

ENV_WORKER: Final = "LLM_WATCHDOG_WORKER"
ENV_POD_NAME: Final = "LLM_WATCHDOG_POD_NAME"
ENV_POD_NAMESPACE: Final = "LLM_WATCHDOG_POD_NAMESPACE"
ENV_POD_UID: Final = "LLM_WATCHDOG_POD_UID"
ENV_NODE_NAME: Final = "LLM_WATCHDOG_NODE_NAME"

CONDITION_PAUSED: Final = "Paused"
"""Of a worker. Its watchdogs heed it if the reason is `REASON_WHOLE_CLUSTER`; the message is why."""
REASON_WHOLE_CLUSTER: Final = "WholeCluster"

WORKER_NAME_MAX: Final = 45
"""A worker's name becomes part of pod names: 63 minus `-<10 of the ReplicaSet>-<5 of the pod>` and a spare."""


def detached_label(worker: str) -> str:
    """Value of `LABEL_WORKER` that no selector of the worker matches, and that still tells whose the pod was."""
    return f"{worker}{DETACHED_SUFFIX}"


def policy_config_map(worker: str) -> str:
    """Name of the ConfigMap that carries a worker's policy document."""
    return f"{worker}-watchdog"


def incident_name(worker: str, fault: str, pod_uid: str, sequence: int) -> str:
    """Derived, never random, so that a watchdog that lost its memory finds its own incident again."""
    kebab = "".join(f"-{c.lower()}" if c.isupper() else c for c in fault)
    return f"{worker}{kebab}-{pod_uid[:8]}-{sequence}"

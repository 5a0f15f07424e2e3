"""A namespace with two replicas of one worker, and what their watchdogs write."""

from __future__ import annotations

from typing import Any

from llm_watchdog.api import names

WORKER = "qwen"
OWN_POD = "qwen-6d4cf56db6-x7lqk"
OTHER_POD = "qwen-6d4cf56db6-zh2vw"
INCIDENTS = "llmworker.dev/v1alpha1/llmincidents"


def pod(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {names.LABEL_WORKER: WORKER}, "annotations": {"a": "b"}},
        "spec": {
            "serviceAccountName": names.WATCHDOG_SERVICE_ACCOUNT,
            "automountServiceAccountToken": False,
            "readinessGates": [{"conditionType": names.ROTATION_GATE}],
            "containers": [{"name": "engine", "image": "none"}],
        },
    }


def condition(kind: str, status: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "Serving", "lastTransitionTime": "2026-11-21T03:00:00Z"}


def running(*, ready: str = "True") -> dict[str, Any]:
    """What a kubelet writes into a pod's status."""
    engine = {
        "name": "engine",
        "image": "none",
        "imageID": "none@sha256:1",
        "containerID": "containerd://1",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": "2026-11-21T02:00:00Z"}},
    }
    return {
        "phase": "Running",
        "podIP": "10.0.0.7",
        "podIPs": [{"ip": "10.0.0.7"}],
        "hostIP": "10.1.0.1",
        "startTime": "2026-11-21T02:00:00Z",
        "containerStatuses": [engine],
        "conditions": [condition("PodScheduled", "True"), condition("Ready", ready), condition("Initialized", "True")],
    }


def incident(pod_name: str, pod_uid: str, *, worker: str = WORKER, sequence: int = 101) -> dict[str, Any]:
    """A number that no watchdog of these tests reaches by counting."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.INCIDENT_KIND,
        "metadata": {
            "name": names.incident_name(worker, "StalledStream", pod_uid, sequence),
            "labels": {
                names.LABEL_WORKER: worker,
                names.LABEL_FAULT: "StalledStream",
                names.LABEL_POD_UID: pod_uid,
            },
        },
        "spec": {
            "workerRef": {"name": worker},
            "podRef": {"name": pod_name, "uid": pod_uid, "node": "node-1"},
            "fault": "StalledStream",
            "detectedAt": "2026-11-21T03:00:00.000000Z",
            "mode": "Enforce",
        },
    }


def event(namespace: str, about: dict[str, Any], name: str = "qwen.1") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": about,
        "reason": "OutOfRotation",
        "message": "no token on a canary in 5.0 s",
        "type": "Warning",
        "source": {"component": "llm-watchdog"},
        "firstTimestamp": "2026-11-21T03:00:00Z",
        "lastTimestamp": "2026-11-21T03:00:00Z",
        "count": 1,
    }


def new_event(namespace: str, about: dict[str, Any], name: str = "qwen.2") -> dict[str, Any]:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "regarding": about,
        "eventTime": "2026-11-21T03:00:00.000000Z",
        "action": "Restart",
        "reason": "Restarting",
        "note": "granted",
        "type": "Warning",
        "reportingController": "llmworker.dev/watchdog",
        "reportingInstance": OWN_POD,
    }

"""The token that the kubelet mounted into a running watchdog reaches no further than its pod."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from e2e.lab.access import run
from llm_watchdog.api import names

if TYPE_CHECKING:
    from e2e.cluster.source import Cluster
    from e2e.tests.conftest import WorkerFactory

pytestmark = pytest.mark.cluster

NAMESPACE = "models"
FAULT = "StalledStream"
GRANT = {"step": "Restart", "grantedAt": "2026-11-21T03:00:00Z", "expiresAt": "2126-11-21T03:00:00Z"}

Command = tuple[str, ...]


def status_of_pod(pod: str, status: dict[str, Any], **more: Any) -> Command:
    body = json.dumps({"status": status, **more})
    return ("patch", "pod", pod, "--subresource=status", "--type=strategic", "-p", body)


def gate(pod: str, kind: str = names.ROTATION_GATE, **more: Any) -> Command:
    condition = {"type": kind, "status": "True", "reason": "Serving", "message": "test"}
    return status_of_pod(pod, {"conditions": [condition]}, **more)


def incident(worker: str, pod: dict[str, Any], sequence: int) -> dict[str, Any]:
    uid = pod["metadata"]["uid"]
    labels = {names.LABEL_WORKER: worker, names.LABEL_FAULT: FAULT, names.LABEL_POD_UID: uid}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.INCIDENT_KIND,
        "metadata": {"name": names.incident_name(worker, FAULT, uid, sequence), "labels": labels},
        "spec": {
            "workerRef": {"name": worker},
            "podRef": {"name": pod["metadata"]["name"], "uid": uid, "node": pod["spec"]["nodeName"]},
            "fault": FAULT,
            "detectedAt": "2026-11-21T03:00:00.000000Z",
            "mode": "Observe",
        },
    }


def test_a_running_watchdogs_own_token_reaches_no_further_than_its_pod(
    installed: Cluster, make_worker: WorkerFactory
) -> None:
    worker = make_worker("token", replicas=2)
    own_pod, other_pod = worker.pods()
    own, other = (str(pod["metadata"]["name"]) for pod in (own_pod, other_pod))
    read = ("exec", own, "-c", names.WATCHDOG_CONTAINER, "--", "cat", f"{names.TOKEN_DIR}/token")
    token = run(installed, "-n", NAMESPACE, *read)

    def attempt(*command: str, text: str | None = None) -> str:
        done = installed.kubectl_as(token, "-n", NAMESPACE, *command, input=text)
        return "" if done.returncode == 0 else done.stderr

    # Numbers that no watchdog reaches by counting.
    its_own, anothers = incident(worker.name, own_pod, 101), incident(worker.name, other_pod, 102)
    name = its_own["metadata"]["name"]

    def status_of_incident(status: dict[str, Any]) -> Command:
        body = json.dumps({"status": status})
        return ("patch", names.INCIDENT_PLURAL, name, "--subresource=status", "--type=merge", "-p", body)

    create = ("create", "-f", "-", "-o", "name")
    assert attempt(*gate(own)) == "", "its own gate it must be able to write"
    assert attempt(*create, text=json.dumps(its_own)) == "", "an incident of its pod it must be able to create"
    assert attempt(*status_of_incident({"phase": "Open"})) == "", "and to patch"

    engine = {**own_pod["status"]["containerStatuses"][0], "restartCount": 7}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": other}}
    refused: dict[str, tuple[Command, Any]] = {
        "another pod's gate": (gate(other), None),
        "another condition": (gate(own, "Ready"), None),
        "a label by way of the status": (gate(own, metadata={"labels": {"stolen": "yes"}}), None),
        "an annotation by way of the status": (gate(own, metadata={"annotations": {"stolen": "yes"}}), None),
        "the engine's status": (status_of_pod(own, {"containerStatuses": [engine]}), None),
        "an incident of another pod": (create, anothers),
        "a grant to itself": (status_of_incident({"grant": GRANT}), None),
        "deleting its incident": (("delete", names.INCIDENT_PLURAL, name), None),
        "deleting a pod": (("delete", "pod", other), None),
        "deleting its own": (("delete", "pod", own), None),
        "evicting a pod": (
            ("create", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{other}/eviction", "-f", "-"),
            eviction,
        ),
        "entering a pod": (("exec", other, "-c", names.ENGINE_CONTAINER, "--", "true"), None),
        "reading secrets": (("get", "secrets"), None),
        "listing pods": (("get", "pods"), None),
        "its worker": (
            ("patch", names.WORKER_PLURAL, worker.name, "--type=merge", "-p", '{"spec":{"replicas":0}}'),
            None,
        ),
        "another token": (("create", "token", names.WATCHDOG_SERVICE_ACCOUNT), None),
    }
    for what, (command, body) in refused.items():
        answer = attempt(*command, text=json.dumps(body) if body else None)
        assert "orbidden" in answer or "denied" in answer, f"{what}: {answer!r}"
    assert run(installed, "-n", NAMESPACE, "get", names.INCIDENT_PLURAL, name, "-o", "jsonpath={.status.grant}") == ""

"""Suspect nodes on a real API server: said, named in an event, and tainted only by an operator that may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from e2e.lab.operator_process import NAMESPACE as SYSTEM
from e2e.lab.operator_process import operator
from tests.operator.live.api import Api, condition, until
from tests.operator.live.conftest import BASE
from tests.operator.live.fleet import Fleet, make_pod, stamp
from tests.operator.live.worker import worker_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.cluster.access import ApiAccess

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("nodes")]

TAINT = "llmworker.dev/suspect"
OVERLAY = BASE.parent / "overlays" / "taint-nodes"
TAINTER = "tainting-operator"


def fail(fleet: Fleet, *pods: str) -> None:
    """Each was restarted on `new-node`."""
    for pod in pods:
        done = {"step": "Restart", "startedAt": stamp(5), "finishedAt": stamp(2), "outcome": "Succeeded"}
        ended: dict[str, Any] = {"phase": "Closed", "outcome": "Recovered", "closedAt": stamp(), "steps": [done]}
        fleet.incident(pod, f"of-{pod}", detected=10, **ended)


def taints(api: Api, node: str) -> list[str]:
    found = api.get("nodes", "", node)
    assert found
    return [taint["key"] for taint in found["spec"].get("taints") or ()]


def events(apiserver: ApiAccess, namespace: str, reason: str) -> list[str]:
    query = f'jsonpath={{range .items[?(@.reason=="{reason}")]}}{{.message}}{{"\\n"}}{{end}}'
    return apiserver.kubectl("-n", namespace, "get", "events", "-o", query).stdout.splitlines()


@pytest.fixture
def tainter(apiserver: ApiAccess, installed: Path, tmp_path: Path) -> Path:
    """An operator's kubeconfig with the rights of base and overlay; a name of its own keeps the audit of base apart."""
    apiserver.kubectl("apply", "-f", str(OVERLAY / "rbac.yaml"), check=True)
    apiserver.kubectl("-n", SYSTEM, "create", "serviceaccount", TAINTER, check=True)
    subject = f"--serviceaccount={SYSTEM}:{TAINTER}"
    for role in ("llmworker-operator", "llmworker-operator-taint-nodes"):
        binding = ("clusterrolebinding", f"{TAINTER}-{role}", f"--clusterrole={role}")
        apiserver.kubectl("create", *binding, subject, check=True)
    lease = ("rolebinding", TAINTER, "--role=llmworker-operator-lease", subject)
    apiserver.kubectl("-n", SYSTEM, "create", *lease, check=True)
    config = yaml.safe_load(installed.read_text())
    config["users"][0]["user"] = {"token": apiserver.token_for(TAINTER, namespace=SYSTEM)}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def clean(api: Api, nodes: None) -> Iterator[None]:
    yield
    for node in ("new-node", "old-node"):
        emptied: dict[str, Any] = {
            "metadata": {"annotations": {"llmworker.dev/tainted-at": None}},
            "spec": {"taints": None},
        }
        api.patch("nodes", "", node, emptied)


def test_two_replicas_on_one_node_are_said_and_without_the_right_no_more_than_that(
    api: Api, apiserver: ApiAccess, installed: Path, namespace: str, tmp_path: Path
) -> None:
    with operator(installed, tmp_path / "operator.log") as started:
        started.wait_until_it_leads()
        fleet = Fleet(api, namespace)
        fail(fleet, "qwen-x-0")
        until(lambda: condition(fleet.worker(), "Available"))
        assert not condition(fleet.worker(), "NodeSuspect")
        fail(fleet, "qwen-x-1")
        said = until(lambda: condition(fleet.worker(), "NodeSuspect"))
        assert (said["status"], said["reason"]) == ("True", "SameNodeAgain")
        assert said["message"] == (
            "node new-node: qwen-x-0, qwen-x-1 had to be restarted there, and fewer on any other node"
        )
        (told,) = until(lambda: events(apiserver, namespace, "SameNodeAgain"))
        assert told == f"NodeSuspect: {said['message']}"
        assert TAINT not in taints(api, "new-node")
        for name in ("of-qwen-x-0", "of-qwen-x-1"):
            api.delete("llmincidents", namespace, name)
        until(lambda: not condition(fleet.worker(), "NodeSuspect"))
        assert started.stop() == 0


def test_a_device_that_is_reported_as_unhealthy(api: Api, installed: Path, namespace: str, tmp_path: Path) -> None:
    """As the kubelet writes it, through the API server's own validation of that field."""
    gpu = {"limits": {"example.com/gpu": "1"}, "requests": {"example.com/gpu": "1"}}
    template = {
        "metadata": {"labels": {"llmworker.dev/worker": "qwen"}},
        "spec": {
            "containers": [{"name": "engine", "image": "engine:1", "resources": gpu}],
            "initContainers": [{"name": "llm-watchdog", "image": "watchdog:1", "restartPolicy": "Always"}],
            "automountServiceAccountToken": False,
        },
    }
    api.create("serviceaccounts", {"metadata": {"name": "default", "namespace": namespace}})
    with operator(installed, tmp_path / "operator.log") as started:
        started.wait_until_it_leads()
        api.create("llmworkers", worker_manifest(namespace))
        make_pod(api, namespace, "qwen-x-0", template, "new-node")
        for health, suspected in (("Unhealthy", True), ("Healthy", False)):
            device = {"name": "example.com/gpu", "resources": [{"resourceID": "gpu-7", "health": health}]}
            engine = {"name": "engine", "image": "engine:1", "imageID": "x", "ready": True, "restartCount": 0}
            seen = {**engine, "state": {"running": {}}, "allocatedResourcesStatus": [device]}
            api.patch("pods", namespace, "qwen-x-0", {"status": {"containerStatuses": [seen]}}, "status")
            until(lambda: bool(suspect(api, namespace)) is suspected)  # noqa: B023
            if suspected:
                said = suspect(api, namespace) or {}
                assert said["reason"] == "DeviceUnhealthy"
                assert "node new-node: example.com/gpu gpu-7 of pod qwen-x-0 is" in said["message"]
        assert started.stop() == 0


def suspect(api: Api, namespace: str) -> dict[str, Any] | None:
    return condition(api.get("llmworkers", namespace, "qwen"), "NodeSuspect")


@pytest.mark.usefixtures("clean")
def test_it_is_tainted_once_and_a_person_who_takes_the_taint_away_is_heeded(
    api: Api, namespace: str, tainter: Path, tmp_path: Path
) -> None:
    theirs = {"key": "nvidia.com/gpu", "effect": "NoSchedule"}
    api.patch("nodes", "", "new-node", {"spec": {"taints": [theirs]}})
    with operator(tainter, tmp_path / "operator.log", taint_suspect_nodes="true") as started:
        started.wait_until_it_leads()
        fleet = Fleet(api, namespace)
        fail(fleet, "qwen-x-0", "qwen-x-1")
        until(lambda: TAINT in taints(api, "new-node"))
        assert taints(api, "new-node") == ["nvidia.com/gpu", TAINT]
        api.patch("nodes", "", "new-node", {"spec": {"taints": [theirs]}})
        fail(fleet, "qwen-x-2")
        until(lambda: "qwen-x-2" in (condition(fleet.worker(), "NodeSuspect") or {})["message"])
        assert taints(api, "new-node") == ["nvidia.com/gpu"], "its restart was before the taint"
        assert started.stop() == 0


@pytest.mark.usefixtures("clean")
def test_never_more_than_are_allowed(api: Api, installed: Path, namespace: str, tmp_path: Path) -> None:
    with operator(installed, tmp_path / "operator.log", taint_suspect_nodes="true", tainted_nodes_max="0") as started:
        started.wait_until_it_leads()
        fleet = Fleet(api, namespace)
        fail(fleet, "qwen-x-0", "qwen-x-1")
        until(lambda: condition(fleet.worker(), "NodeSuspect"))
        until(lambda: "node new-node is not tainted: at most 0 are" in started.messages())
        assert TAINT not in taints(api, "new-node")
        assert started.stop() == 0

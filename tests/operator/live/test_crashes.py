"""kill -9 before and after each write, one after the other: the outcome is the same as without."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.operator.live.api import Api, until
from tests.operator.live.conftest import worker_manifest
from tests.operator.live.fleet import make_incident, make_pod, stamp
from tests.operator.live.process import Operator, operator

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("nodes")]

SIGKILLED = -9
PLURALS = (
    "deployments",
    "services",
    "configmaps",
    "poddisruptionbudgets",
    "serviceaccounts",
    "rolebindings",
    "controllerrevisions",
)
BUILT_IN = {"default", "kube-root-ca.crt"}
VOLATILE = {"uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace", "clusterIP", "clusterIPs"}
TIMES = {"lastTransitionTime", "grantedAt", "expiresAt", "closedAt", "startedAt", "detectedAt", "message"}
DIGESTS = {"llmworker.dev/applied"}

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"llmworker.dev/worker": "qwen"}},
    "spec": {
        "initContainers": [
            {
                "name": "llm-watchdog",
                "image": "watchdog:0",
                "restartPolicy": "Always",
                "restartPolicyRules": [
                    {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
                ],
            }
        ],
        "containers": [{"name": "engine", "image": "engine:1"}],
        "automountServiceAccountToken": False,
    },
}


def scenario(api: Api, namespace: str) -> None:
    """Something to do of every kind: children, restart methods, an image, a grant, a withdrawal, a loss, a removal."""
    api.create("serviceaccounts", {"metadata": {"name": "default", "namespace": namespace}})
    api.create("llmworkers", worker_manifest(namespace, replicas=3))
    uids = {pod: make_pod(api, namespace, pod, TEMPLATE, "new-node") for pod in ("qwen-a", "qwen-b", "qwen-c")}
    expired = {"step": "Restart", "grantedAt": stamp(60), "expiresAt": stamp(30)}
    asking = {"phase": "AwaitingGrant", "requestedStep": "Restart", "reason": "NoFirstToken", "message": "Silent."}
    for name, pod, uid, detected, status in (
        ("first", "qwen-a", uids["qwen-a"], 90, asking),
        ("second", "qwen-b", uids["qwen-b"], 80, asking),
        ("expired", "qwen-c", uids["qwen-c"], 70, {**asking, "grant": expired}),
        ("lost", "qwen-gone", "gone", 60, {**asking, "phase": "Acting"}),
        ("old", "qwen-gone", "gone", 9e6, {"phase": "Closed", "outcome": "Recovered", "closedAt": stamp(9e6)}),
    ):
        make_incident(api, namespace, name, pod, uid, detected=detected)
        api.patch("llmincidents", namespace, name, {"status": status}, "status")


def plain(document: Any, drop: frozenset[str]) -> Any:
    if isinstance(document, dict):
        return {k: plain(v, drop) for k, v in document.items() if k not in drop}
    if isinstance(document, list):
        return [plain(item, drop) for item in document]
    return document


def outcome(api: Api, namespace: str) -> dict[str, Any]:
    """All that is left behind, without times and what differs from namespace to namespace."""
    drop = frozenset(VOLATILE | TIMES | DIGESTS)
    everything = {}
    for plural in (*PLURALS, "pods", "llmincidents", "llmworkers"):
        listed = [n for n in api.names(plural, namespace) if n not in BUILT_IN]
        everything[plural] = {name: plain(api.get(plural, namespace, name), drop) for name in listed}
    return everything


def claim(api: Api, namespace: str) -> None:
    """As the watchdog does it, so that no grant runs out however long the test takes."""
    name = "first"
    found = api.get("llmincidents", namespace, name) or {}
    if found["status"].get("grant") and found["status"]["phase"] == "AwaitingGrant":
        api.patch("llmincidents", namespace, name, {"status": {"phase": "Acting"}}, "status")


def granted(api: Api, namespace: str) -> list[str]:
    found = [api.get("llmincidents", namespace, name) or {} for name in api.names("llmincidents", namespace)]
    return [i["metadata"]["name"] for i in found if (i.get("status") or {}).get("grant")]


@pytest.fixture(scope="module")
def undisturbed(api: Api, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """What an operator that is left alone makes of it, and with how many writes."""
    namespace = "undisturbed"
    api.create("namespaces", {"metadata": {"name": namespace}})
    scenario(api, namespace)
    log = tmp_path_factory.mktemp("undisturbed") / "operator.log"
    with operator(installed, log, identity="same") as process:
        process.wait_until_it_leads()
        until(lambda: granted(api, namespace) == ["first"])
        claim(api, namespace)
        final = steady(api, namespace)
        writes = count_writes(process)
        process.stop()
    clear(api, namespace)
    return final, writes


def clear(api: Api, namespace: str) -> None:
    """The operator looks after the whole cluster, and exchanges one watchdog at a time in all of it."""
    for plural in ("llmworkers", "llmincidents", "pods"):
        for name in api.names(plural, namespace):
            api.delete(plural, namespace, name)


def steady(api: Api, namespace: str) -> dict[str, Any]:
    """The same twice, a second apart."""

    def probe() -> dict[str, Any] | None:
        before = outcome(api, namespace)
        time.sleep(1)
        return before if outcome(api, namespace) == before else None

    return until(probe, seconds=30)


def count_writes(process: Operator) -> int:
    """Without Events, which are posted behind the back of the passes."""
    answer = process.ask("/metrics")
    assert answer
    counted = [line for line in answer.text.splitlines() if line.startswith("llmworker_operator_api_writes_total")]
    lines = [line for line in counted if 'method="POST"' not in line]
    return int(sum(float(line.rpartition(" ")[2]) for line in lines))


def test_the_scenario_has_something_of_everything(undisturbed: tuple[dict[str, Any], int]) -> None:
    final, writes = undisturbed
    incidents = {name: i["status"] for name, i in final["llmincidents"].items()}
    assert set(incidents) == {"first", "second", "expired", "lost"}
    assert incidents["lost"]["outcome"] == "Lost"
    assert [name for name, status in incidents.items() if "grant" in status] == ["first"]
    assert incidents["first"]["phase"] == "Acting"
    annotations = [pod["metadata"]["annotations"] for pod in final["pods"].values()]
    assert all(each["llmworker.dev/restart-method"] == "AllContainers" for each in annotations)
    assert sum("llmworker.dev/watchdog-update" in each for each in annotations) == 1
    assert final["llmworkers"]["qwen"]["status"]["openIncidents"] == 3
    assert writes >= 16


@pytest.mark.parametrize("place", ["after:1", "before:2"])
def test_killed_around_every_write(
    api: Api,
    installed: Path,
    namespace: str,
    tmp_path: Path,
    undisturbed: tuple[dict[str, Any], int],
    place: str,
) -> None:
    """Each process gets one write further than the one before it, until there is nothing left to write."""
    final, writes = undisturbed
    scenario(api, namespace)
    crashes = 0
    while not _one_life(api, installed, namespace, tmp_path / "operator.log", place, final):
        crashes += 1
        assert len(granted(api, namespace)) <= 1, "the budget is one"
        assert crashes < 3 * writes
    assert crashes >= writes - 3, "a status that is written twice in one life is written once over many"


def _one_life(api: Api, kubeconfig: Path, namespace: str, log: Path, place: str, final: dict[str, Any]) -> bool:
    """True if it lived to see the end."""
    with operator(kubeconfig, log, crash_at=place, identity="same") as life:
        end = time.monotonic() + 30
        while life.process.poll() is None and (left := outcome(api, namespace)) != final:
            assert time.monotonic() < end, json.dumps({"expected": final, "found": left})
            claim(api, namespace)
            time.sleep(0.1)
        if life.process.poll() is None:
            return True
        assert life.process.returncode == SIGKILLED, life.log()
        return False

"""A rollout that the brake blames is taken back on a real API server: the Deployment, never the spec, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.operator.live.api import Api, condition, until
from tests.operator.live.fleet import Fleet, make_pod, set_watchdog, stamp

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("running", "nodes")]

BUDGET = {"maxUnavailable": "67%", "cooldown": "0s"}
REMEDIATION = {"budget": BUDGET, "brake": {"afterRollout": "60s", "rollback": "Automatic"}}


def deployment(fleet: Fleet) -> dict[str, Any]:
    found = fleet.api.get("deployments", fleet.namespace, "qwen")
    assert found
    return found


def image(document: dict[str, Any]) -> str:
    return str(document["spec"]["template"]["spec"]["containers"][0]["image"])


def rolled_out(fleet: Fleet, revision: int, ago: float) -> None:
    """As the Deployment's controller says it."""
    noted = {"metadata": {"annotations": {"deployment.kubernetes.io/revision": str(revision)}}}
    generation = fleet.api.patch("deployments", fleet.namespace, "qwen", noted)["metadata"]["generation"]
    counted = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 3)
    progress = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "up"}
    dated = {**progress, "lastUpdateTime": stamp(ago), "lastTransitionTime": stamp(ago)}
    status = {**counted, "observedGeneration": generation, "conditions": [dated]}
    fleet.api.patch("deployments", fleet.namespace, "qwen", {"status": status}, "status")


def wish(fleet: Fleet, engine: str) -> None:
    template = {"spec": {"containers": [{"name": "engine", "image": engine}]}}
    fleet.api.patch("llmworkers", fleet.namespace, "qwen", {"spec": {"template": template}})


def replaced(fleet: Fleet, revision: str) -> None:
    """All pods are of the Deployment's template, as its controllers would have it."""
    for name in list(fleet.uids):
        fleet.api.delete("pods", fleet.namespace, name)
    template = deployment(fleet)["spec"]["template"]
    labels = {**template["metadata"]["labels"], "pod-template-hash": revision}
    labelled = {**template, "metadata": {**template["metadata"], "labels": labels}}
    fleet.uids = {
        name: make_pod(fleet.api, fleet.namespace, name, labelled, "new-node")
        for name in (f"qwen-{revision}-{number}" for number in range(3))
    }


def blamed(fleet: Fleet) -> None:
    """One of the new pods fails, and a restart does not cure it."""
    pod = next(iter(fleet.uids))
    set_watchdog(fleet.api, fleet.namespace, pod, f"containerd://first-{pod}", ready=False)
    fleet.ask(pod, "one", detected=20)
    until(lambda: fleet.granted("one"))
    fleet.say("one", phase="Acting", steps=[{"step": "Restart", "startedAt": stamp()}])
    fleet.say("one", phase="Verifying")
    done = {"step": "Restart", "startedAt": stamp(2), "finishedAt": stamp(), "outcome": "Failed"}
    fleet.say("one", phase="Closed", outcome="Quarantined", closedAt=stamp(), requestedStep=None, steps=[done])


@pytest.fixture
def fleet(api: Api, namespace: str) -> Fleet:
    """The first template was well for long, and the second one has failed."""
    made = Fleet(api, namespace, remediation=REMEDIATION)
    rolled_out(made, 1, ago=100)
    until(lambda: not condition(made.worker(), "Reconciling"))
    wish(made, "engine:2")
    until(lambda: image(deployment(made)) == "engine:2")
    replaced(made, "second")
    rolled_out(made, 2, ago=0)
    blamed(made)
    return made


def test_it_is_taken_back_once_and_the_spec_is_not_written(fleet: Fleet, apiserver: ApiAccess) -> None:
    until(lambda: image(deployment(fleet)) == "engine:1")
    said = until(lambda: condition(fleet.worker(), "RolledBack"))
    assert "did not cure it" in said["message"]
    worker = fleet.worker()
    assert worker["spec"]["template"]["spec"]["containers"][0]["image"] == "engine:2"
    assert until(lambda: condition(fleet.worker(), "Stalled"))["reason"] == "RolledBack"
    assert (condition(fleet.worker(), "Ready") or {})["status"] == "False"

    def told() -> list[Any]:
        described = apiserver.kubectl("-n", fleet.namespace, "get", "events", "-o", "jsonpath={.items[*].reason}")
        return [reason for reason in described.stdout.split() if reason == "BlamedByBrake"]

    until(told)
    taken_back = deployment(fleet)
    fleet.incident(next(iter(fleet.uids)), "two", phase="AwaitingGrant", requestedStep="Restart")
    until(lambda: fleet.worker()["status"]["openIncidents"] == 1)
    assert deployment(fleet)["metadata"]["generation"] == taken_back["metadata"]["generation"]
    assert len(told()) == 1


def test_another_template_goes_on_from_there(fleet: Fleet) -> None:
    until(lambda: image(deployment(fleet)) == "engine:1")
    wish(fleet, "engine:3")
    until(lambda: image(deployment(fleet)) == "engine:3")
    until(lambda: not condition(fleet.worker(), "RolledBack"))


def test_a_person_who_insists_gets_it(fleet: Fleet) -> None:
    until(lambda: image(deployment(fleet)) == "engine:1")
    remediation = {"brake": {"rollback": "Never"}}
    fleet.api.patch("llmworkers", fleet.namespace, "qwen", {"spec": {"watchdog": {"remediation": remediation}}})
    until(lambda: image(deployment(fleet)) == "engine:2")
    until(lambda: not condition(fleet.worker(), "RolledBack"))

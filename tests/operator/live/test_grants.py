"""Incidents as watchdogs write them, and what the operator answers; pods are objects without a kubelet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.operator.live.api import Api, condition, until
from tests.operator.live.fleet import Fleet, make_pod, stamp

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess
    from e2e.lab.operator_process import Operator

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("running", "nodes")]


def waiting(running: Operator, reason: str) -> float:
    answer = running.ask("/metrics")
    assert answer
    prefix = f'llmworker_operator_requests_waiting{{reason="{reason}"}} '
    return sum(float(line.removeprefix(prefix)) for line in answer.text.splitlines() if line.startswith(prefix))


def test_one_at_a_time_and_the_next_when_it_is_closed(api: Api, namespace: str, running: Operator) -> None:
    fleet = Fleet(api, namespace)
    fleet.ask("qwen-x-0", "one", detected=20)
    fleet.ask("qwen-x-1", "two", detected=10)
    grant = until(lambda: fleet.granted("one"))
    assert grant["step"] == "Restart"
    assert not fleet.granted("two")
    fleet.say("one", phase="Acting", steps=[{"step": "Restart", "startedAt": stamp()}])
    until(lambda: waiting(running, "BudgetInUse") == 1)
    assert not fleet.granted("two")
    fleet.restarted("one")
    until(lambda: fleet.granted("two"))


def test_the_watchdogs_words_stay_when_the_operator_writes(api: Api, namespace: str) -> None:
    fleet = Fleet(api, namespace)
    fleet.ask("qwen-x-0", "one")
    until(lambda: fleet.granted("one"))
    status = fleet.status("one")
    assert (status["phase"], status["message"], status["requestedStep"]) == (
        "AwaitingGrant",
        "No token for 5 s.",
        "Restart",
    )


def test_an_unclaimed_grant_is_withdrawn_and_a_used_one_is_spent(
    api: Api, apiserver: ApiAccess, namespace: str
) -> None:
    fleet = Fleet(api, namespace)
    fleet.ask("qwen-x-0", "one")
    grant = until(lambda: fleet.granted("one"))
    early = {**grant, "grantedAt": stamp(40), "expiresAt": stamp(10)}
    fleet.say("one", grant=early)
    fresh = until(lambda: (g := fleet.granted("one")) and g["expiresAt"] > stamp() and g)
    assert fresh["grantedAt"] > grant["grantedAt"]
    fleet.say("one", phase="Acting", steps=[{"step": "Restart", "startedAt": stamp()}])
    fleet.say("one", phase="Verifying")
    until(lambda: not fleet.granted("one"))

    def told() -> bool:
        text = apiserver.kubectl("-n", namespace, "describe", "llmincident", "one").stdout
        return [text.count(f"{word} Restart") for word in ("granted", "withdrew", "spent")] == [2, 1, 1]

    until(told)


def test_cool_down_is_said_in_the_log_and_the_hourly_limit_in_a_condition(api: Api, namespace: str) -> None:
    fleet = Fleet(api, namespace, remediation={"budget": {"maxPerHour": 1}})
    fleet.ask("qwen-x-0", "one")
    until(lambda: fleet.granted("one"))
    fleet.restarted("one")
    fleet.ask("qwen-x-1", "two")
    held = until(lambda: condition(fleet.worker(), "RemediationHeld"))
    assert held["reason"] == "HourlyLimit"
    assert "1 restarts in the last hour" in held["message"]
    assert not fleet.granted("two")


def test_observe_gets_no_grant(api: Api, namespace: str) -> None:
    fleet = Fleet(api, namespace, mode="Observe")
    fleet.ask("qwen-x-0", "one", mode="Observe")
    until(lambda: fleet.worker()["status"].get("openIncidents") == 1)
    assert not fleet.granted("one")


def test_an_incident_whose_replica_is_gone_is_closed_as_lost(api: Api, namespace: str) -> None:
    fleet = Fleet(api, namespace)
    fleet.ask("qwen-x-0", "one", detected=20)
    until(lambda: fleet.granted("one"))
    fleet.say("one", phase="Acting", steps=[{"step": "Restart", "startedAt": stamp()}])
    fleet.ask("qwen-x-1", "two")
    api.delete("pods", namespace, "qwen-x-0")
    lost = until(lambda: (s := fleet.status("one")).get("phase") == "Closed" and s)
    assert lost["outcome"] == "Lost"
    assert "No token for 5 s. The replica is gone" in lost["message"]
    assert lost["closedAt"]
    until(lambda: fleet.granted("two"))


def test_a_new_pod_of_the_same_name_is_another_replica(api: Api, namespace: str) -> None:
    fleet = Fleet(api, namespace)
    fleet.ask("qwen-x-0", "one")
    api.delete("pods", namespace, "qwen-x-0")
    fleet.pod("qwen-x-0")
    until(lambda: fleet.status("one").get("outcome") == "Lost")


def test_incidents_outlive_their_worker_and_are_closed(api: Api, namespace: str) -> None:
    fleet = Fleet(api, namespace)
    fleet.incident("qwen-x-0", "one")
    until(lambda: fleet.worker()["status"].get("openIncidents") == 1)
    api.delete("llmworkers", namespace, "qwen")
    for pod in fleet.uids:
        api.delete("pods", namespace, pod)
    until(lambda: fleet.status("one").get("outcome") == "Lost")
    assert api.get("llmincidents", namespace, "one")["metadata"].get("ownerReferences") is None  # type: ignore[index]


def test_a_detached_pod_is_not_lost(api: Api, namespace: str) -> None:
    """Its label was taken away by hand; it is still there, and so is what is wrong with it."""
    fleet = Fleet(api, namespace)
    fleet.incident("qwen-x-0", "one")
    api.patch("pods", namespace, "qwen-x-0", {"metadata": {"labels": {"llmworker.dev/worker": None}}})
    until(lambda: fleet.worker()["status"]["replicas"] == 2)
    assert fleet.status("one").get("phase") is None


def test_status_counts_and_conditions(api: Api, namespace: str) -> None:
    fleet = Fleet(api, namespace)
    until(lambda: fleet.worker()["status"]["readyReplicas"] == 3)
    fleet.incident("qwen-x-0", "one")
    until(lambda: fleet.worker()["status"]["openIncidents"] == 1)
    degraded = until(lambda: condition(fleet.worker(), "Degraded"))
    assert "qwen-x-0" in degraded["message"]
    assert condition(fleet.worker(), "Available")["status"] == "True"  # type: ignore[index]
    fleet.say("one", phase="Closed", outcome="SelfHealed", closedAt=stamp())
    until(lambda: not condition(fleet.worker(), "Degraded"))


@pytest.mark.parametrize(("node", "method"), [("new-node", "AllContainers"), ("old-node", "LivenessProbe")])
def test_each_scheduled_pod_learns_how_it_is_restarted(api: Api, namespace: str, node: str, method: str) -> None:
    fleet = Fleet(api, namespace, replicas=1)
    fleet.pod("qwen-x-9", node)

    def annotation() -> str | None:
        pod = api.get("pods", namespace, "qwen-x-9") or {"metadata": {}}
        found: str | None = (pod["metadata"].get("annotations") or {}).get("llmworker.dev/restart-method")
        return found

    until(lambda: annotation() == method)


def test_every_decision_is_one_line_of_the_log(api: Api, namespace: str, running: Operator) -> None:
    fleet = Fleet(api, namespace)
    fleet.ask("qwen-x-0", "one")
    until(lambda: fleet.granted("one"))

    def lines() -> list[dict[str, Any]]:
        return [r for r in running.records() if r.get("incident") == "one" and r.get("namespace") == namespace]

    (line,) = until(lines)
    assert line["message"] == "granted Restart"
    assert (line["worker"], line["pod"], line["reason"]) == ("qwen", "qwen-x-0", "NoFirstToken")
    metrics = running.ask("/metrics")
    assert metrics
    assert 'llmworker_operator_incident_writes_total{detail="Restart",what="granted"}' in metrics.text


def test_decisions_are_events_of_the_incident(api: Api, apiserver: ApiAccess, namespace: str) -> None:
    fleet = Fleet(api, namespace)
    fleet.ask("qwen-x-0", "one")
    until(lambda: fleet.granted("one"))
    until(lambda: "granted Restart" in apiserver.kubectl("-n", namespace, "describe", "llmincident", "one").stdout)
    until(lambda: "ReplicaFaulty" in apiserver.kubectl("-n", namespace, "describe", "llmworker", "qwen").stdout)


def test_a_replica_that_nothing_restarts_is_said(api: Api, namespace: str) -> None:
    fleet = Fleet(api, namespace, remediation={"restartMethod": "LivenessProbe"})
    own = {"name": "engine", "image": "engine:1", "livenessProbe": {"tcpSocket": {"port": 8000}}}
    deployment = api.get("deployments", namespace, "qwen")
    assert deployment
    template = deployment["spec"]["template"]
    edited = {**template, "spec": {**template["spec"], "containers": [own]}}
    make_pod(api, namespace, "qwen-own", edited, "old-node")
    held = until(lambda: condition(fleet.worker(), "RemediationHeld"))
    assert held["reason"] == "RestartUnavailable"
    assert "qwen-own" in held["message"]

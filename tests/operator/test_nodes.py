"""Which nodes are suspected, and for what."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from llmworker_operator.domain.conditions import evaluate
from llmworker_operator.domain.facts import Facts, Rollout
from llmworker_operator.domain.nodes import SuspectNode, SuspectReason, suspect_nodes
from llmworker_operator.domain.record import IncidentView, read_incident
from llmworker_operator.domain.replica import read_replica
from tests.operator.making import NOW, at, incident, incident_document, replica, step, worker

NODES = ("n1", "n2", "n3")
HOUR = timedelta(hours=1)


def restarted(pod: str, node: str, began: float = -60, name: str = "", **fields: Any) -> IncidentView:
    steps = [step(began, **fields)]
    return replace(incident(pod, name or f"of-{pod}-{began}", phase="Verifying", steps=steps), node=node)


def suspected(*incidents: IncidentView, existing: tuple[str, ...] = NODES) -> list[str]:
    return [s.node for s in suspect_nodes(incidents, (), existing, HOUR, NOW)]


@pytest.mark.parametrize(
    ("incidents", "nodes"),
    [
        ([], []),
        ([restarted("a", "n1")], []),
        ([restarted("a", "n1"), restarted("b", "n1")], ["n1"]),
        ([restarted("a", "n1"), restarted("b", "n2")], []),
        ([restarted("a", "n1"), restarted("a", "n1", -30)], []),
        ([restarted("a", "n1"), restarted("b", "n1"), restarted("c", "n2"), restarted("d", "n2")], []),
        ([restarted("a", "n1"), restarted("b", "n1"), restarted("c", "n2")], ["n1"]),
        ([restarted("a", "n1"), restarted("b", "n1"), restarted("c", "n2"), restarted("c", "n2", -30)], ["n1"]),
        ([restarted("a", "n1"), restarted("b", "n1", -3600)], []),
        ([restarted("a", "n1"), restarted("b", "n1", -3599)], ["n1"]),
        ([restarted("a", "n1"), restarted("b", "n1", outcome="DryRun")], []),
        ([restarted("a", "n1"), restarted("b", "n1", outcome="Unavailable")], []),
        ([restarted("a", "n1"), restarted("b", "n1", name="x", outcome="Failed")], ["n1"]),
        ([restarted("a", "n1"), replace(incident("b"), node="n1")], []),
        ([restarted("a", ""), restarted("b", "")], []),
        ([restarted("a", "gone"), restarted("b", "gone")], []),
    ],
    ids=[
        "nothing",
        "one",
        "two replicas",
        "two nodes",
        "one replica in place",
        "as many elsewhere",
        "fewer elsewhere",
        "one replica in place elsewhere",
        "too long ago",
        "just within the time",
        "observed only",
        "not carried out",
        "failed",
        "no step",
        "node not known",
        "node gone",
    ],
)
def test_the_same_node_again(incidents: list[IncidentView], nodes: list[str]) -> None:
    assert suspected(*incidents) == nodes


def test_a_replica_and_its_successor_on_the_same_node() -> None:
    """Another pod, another uid; whatever the first one's incident became."""
    first = replace(restarted("old", "n1", -300), phase="Closed", outcome="Lost")
    assert suspected(first, restarted("new", "n1")) == ["n1"]


def test_it_names_the_node_the_pods_and_the_newest_restart() -> None:
    (found,) = suspect_nodes([restarted("b", "n1", -60), restarted("a", "n1", -90)], (), NODES, HOUR, NOW)
    assert found == SuspectNode(
        node="n1",
        reason=SuspectReason.SAME_NODE_AGAIN,
        message="node n1: a, b had to be restarted there, and fewer on any other node",
        since=at(-60),
    )


def test_the_node_is_read_from_the_incident() -> None:
    document = incident_document("a")
    assert read_incident(document).node == ""
    document["spec"]["podRef"]["node"] = "n1"
    assert read_incident(document).node == "n1"


def pod(*statuses: dict[str, Any], init: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    status = {"containerStatuses": list(statuses), "initContainerStatuses": list(init)}
    return {"metadata": {"name": "a", "uid": "uid-a"}, "spec": {"nodeName": "n1"}, "status": status}


def device(health: str | None, name: str = "GPU-1") -> dict[str, Any]:
    said = {"resourceID": name, **({"health": health} if health else {})}
    return {"name": "engine", "allocatedResourcesStatus": [{"name": "nvidia.com/gpu", "resources": [said]}]}


@pytest.mark.parametrize(
    ("document", "devices"),
    [
        (pod(), ()),
        (pod({"name": "engine"}), ()),
        (pod(device("Healthy")), ()),
        (pod(device("Unknown")), ()),
        (pod(device(None)), ()),
        (pod(device("Unhealthy")), ("nvidia.com/gpu GPU-1",)),
        (pod(device("Unhealthy"), device("Unhealthy")), ("nvidia.com/gpu GPU-1",)),
        (pod(device("Healthy"), init=(device("Unhealthy", "GPU-2"),)), ("nvidia.com/gpu GPU-2",)),
        (pod({"name": "engine", "allocatedResourcesStatus": [{"name": "x", "resources": None}]}), ()),
        (pod({"name": "engine", "allocatedResourcesStatus": None}), ()),
    ],
)
def test_devices(document: dict[str, Any], devices: tuple[str, ...]) -> None:
    assert read_replica(document).unhealthy_devices == devices


def test_a_device_is_said_first_and_needs_no_restart() -> None:
    sick = [replica("a", node="n2", unhealthy_devices=("nvidia.com/gpu GPU-1",)), replica("b", node="n1")]
    incidents = [restarted("c", "n1"), restarted("d", "n1")]
    found = suspect_nodes(incidents, sick, NODES, HOUR, NOW)
    assert [(s.node, s.reason) for s in found] == [
        ("n2", SuspectReason.DEVICE_UNHEALTHY),
        ("n1", SuspectReason.SAME_NODE_AGAIN),
    ]
    assert found[0].message == "node n2: nvidia.com/gpu GPU-1 of pod a is reported as unhealthy"
    assert suspect_nodes([], sick, ("n1",), HOUR, NOW) == ()


def test_the_condition_names_all_of_them_and_is_absent_without_any() -> None:
    found = suspect_nodes([restarted("c", "n1"), restarted("d", "n1")], (), NODES, HOUR, NOW)
    facts = Facts(worker=worker(), replicas=[], incidents=[], rollout=Rollout(complete=True), suspect_nodes=found)
    (condition,) = (c for c in evaluate(facts) if c.type == "NodeSuspect")
    assert (condition.status, condition.reason, condition.message) == (True, "SameNodeAgain", found[0].message)
    assert "NodeSuspect" not in {c.type for c in evaluate(replace(facts, suspect_nodes=()))}

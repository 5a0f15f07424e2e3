"""A pod that its watchdog gives up: evicted by the operator, waited for, and proven by another one's rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.operator.live.api import Api, condition, until
from tests.operator.live.fleet import Fleet, stamp

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("running", "nodes")]


def ordered(fleet: Fleet, pod: str, name: str) -> dict[str, Any]:
    """Granted, claimed and on record, after a restart that cured nothing; returns that step."""
    fleet.out(pod)
    times = {"startedAt": stamp(300), "finishedAt": stamp(290)}
    ended = {"step": "Restart", **times, "outcome": "Failed", "proof": "the fault is back"}
    asking: dict[str, Any] = {"phase": "AwaitingGrant", "requestedStep": "ReplacePod", "steps": [ended]}
    fleet.incident(pod, name, detected=400, **asking)
    grant = until(lambda: fleet.granted(name))
    assert grant["step"] == "ReplacePod"
    fleet.say(name, phase="Acting", requestedStep=None)
    assert not fleet.stopping(pod), "claimed is not ordered"
    fleet.say(name, steps=[ended, {"step": "ReplacePod", "startedAt": stamp()}])
    return ended


def test_evicted_replaced_and_proven(api: Api, apiserver: ApiAccess, namespace: str) -> None:
    fleet = Fleet(api, namespace)
    ended = ordered(fleet, "qwen-x-0", "one")
    until(lambda: fleet.stopping("qwen-x-0"))
    fleet.gone("qwen-x-0")
    fleet.ask("qwen-x-1", "two")
    until(lambda: fleet.worker()["status"]["replicas"] == 2)
    assert fleet.status("one")["phase"] == "Acting", "not lost: another one is to take its place"
    assert not fleet.granted("two"), "it counts until another one serves"
    fleet.pod("qwen-x-9")
    closed = until(lambda: (s := fleet.status("one")).get("phase") == "Closed" and s)
    assert closed["outcome"] == "Recovered"
    restart, replacement = closed["steps"]
    assert restart == ended, "what the watchdog wrote stays"
    assert replacement["outcome"] == "Succeeded"
    assert "pod qwen-x-9 on node new-node took its place" in replacement["proof"]
    assert closed["timeToRecoverSeconds"] > 399
    until(lambda: fleet.granted("two"))
    until(lambda: "Evicted" in apiserver.kubectl("-n", namespace, "describe", "llmincident", "one").stdout)


def test_what_stands_in_the_way_of_an_eviction_is_said_until_it_is_gone(api: Api, namespace: str) -> None:
    """Kubernetes evicts nothing that two PodDisruptionBudgets are about."""
    fleet = Fleet(api, namespace)
    selector = {"matchLabels": {"llmworker.dev/worker": "qwen"}}
    own = {"metadata": {"name": "own", "namespace": namespace}, "spec": {"minAvailable": 1, "selector": selector}}
    api.create("poddisruptionbudgets", own)
    ordered(fleet, "qwen-x-0", "one")
    held = until(lambda: condition(fleet.worker(), "RemediationHeld"))
    assert held["reason"] == "EvictionRefused"
    assert "pod qwen-x-0 is not evicted" in held["message"]
    assert "PodDisruptionBudget" in held["message"]
    assert not fleet.stopping("qwen-x-0")
    api.delete("poddisruptionbudgets", namespace, "own")
    until(lambda: fleet.stopping("qwen-x-0"))
    until(lambda: not condition(fleet.worker(), "RemediationHeld"))


def test_the_watchdogs_own_word_evicts_nothing(api: Api, namespace: str) -> None:
    """What only the operator can write is missing: the grant."""
    fleet = Fleet(api, namespace)
    fleet.out("qwen-x-0")
    fleet.incident("qwen-x-0", "one", phase="Acting", steps=[{"step": "ReplacePod", "startedAt": stamp()}])
    until(lambda: fleet.worker()["status"].get("openIncidents") == 1)
    fleet.say("one", message="Still silent.")
    until(lambda: condition(fleet.worker(), "Degraded"))
    assert not fleet.stopping("qwen-x-0")


def test_without_a_worker_nobody_is_waited_for(api: Api, namespace: str) -> None:
    fleet = Fleet(api, namespace)
    ordered(fleet, "qwen-x-0", "one")
    until(lambda: fleet.stopping("qwen-x-0"))
    api.delete("llmworkers", namespace, "qwen")
    for pod in fleet.uids:
        fleet.gone(pod)
    until(lambda: fleet.status("one").get("outcome") == "Lost")

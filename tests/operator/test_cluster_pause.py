"""The switch of the whole cluster: what is read from it, what is in force, and what is passed on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_watchdog.api import names
from llm_watchdog.api.document import decode
from llm_watchdog.api.policy import PausedPolicy, Policy
from llmworker_operator.adapters import resources
from llmworker_operator.adapters.cache import Cache
from llmworker_operator.builders.configmap import policy_config_map
from llmworker_operator.domain.cluster_pause import ClusterPause, in_force, read_switch, with_pause
from llmworker_operator.domain.conditions import evaluate, unreadable
from llmworker_operator.domain.facts import Facts, Rollout
from llmworker_operator.domain.grants import decide_grants
from llmworker_operator.domain.refusals import Refusal
from tests.operator.making import NOW, asking, grant, incident, replica, step, worker, worker_document

WHY = "a driver kills the nodes"
ON, OFF, BAD = ClusterPause(reason=WHY), ClusterPause(), ClusterPause(problem="?")
PASSED_ON = {"conditions": [{"type": "Paused", "reason": "WholeCluster", "status": "True", "message": WHY}]}


def config_map(**data: str) -> dict[str, Any]:
    return {"metadata": {"name": "llmworker-pause", "namespace": "llmworker-system"}, "data": data}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (None, ""),
        (config_map(paused=""), ""),
        (config_map(paused=WHY), WHY),
        (config_map(paused=f" {WHY}\n"), WHY),
        (config_map(paused="a driver\nkills  the nodes"), WHY),
        (config_map(paused="x" * 300), "x" * 253),
        (config_map(paused="true"), "true"),
        (config_map(paused=WHY, note="see the wiki"), WHY),
    ],
)
def test_what_is_understood(document: dict[str, Any] | None, reason: str) -> None:
    assert read_switch(document) == ClusterPause(reason=reason)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"metadata": {}}, "it has no key paused"),
        (config_map(), "it has no key paused"),
        ({"metadata": {}, "data": None, "binaryData": {"paused": "AA=="}}, "it has no key paused"),
        (config_map(reason=WHY), "it has no key paused"),
        (config_map(Paused=WHY), "it has no key paused"),
        (config_map(paused="  "), "'  ' is no reason"),
        (config_map(paused="false"), "'false' is no reason"),
        (config_map(paused=" Off\n"), "' Off\\n' is no reason"),
    ],
)
def test_what_is_not(document: dict[str, Any], problem: str) -> None:
    assert read_switch(document) == ClusterPause(problem=problem)


@pytest.mark.parametrize(
    ("read", "before", "statuses", "reason"),
    [
        (OFF, ON, [PASSED_ON], ""),
        (ON, OFF, [{}], WHY),
        (BAD, None, [], ""),
        (BAD, None, [{}, {"conditions": None}, {"conditions": []}], ""),
        (BAD, None, [{}, PASSED_ON], WHY),
        (BAD, None, [{"conditions": [{"type": "Paused", "reason": "ThisWorker", "message": "x"}]}], ""),
        (BAD, ON, [{}], WHY),
        (BAD, OFF, [PASSED_ON], ""),
    ],
)
def test_what_is_not_understood_changes_nothing(
    read: ClusterPause, before: ClusterPause | None, statuses: list[dict[str, Any]], reason: str
) -> None:
    assert in_force(read, before, statuses) == ClusterPause(reason=reason, problem=read.problem)


def test_one_worker_that_says_so_is_enough_for_all_also_for_one_that_comes_later() -> None:
    cache = Cache()
    for name, status in (("a", {}), ("b", PASSED_ON)):
        cache.put(resources.WORKERS, {**worker_document(name), "status": status})
    cache.turn(BAD)
    cache.put(resources.WORKERS, worker_document("later"))
    assert cache.cluster_pause().reason == WHY


def test_a_change_concerns_every_worker_and_no_change_nobody() -> None:
    cache = Cache()
    for name in ("a", "b"):
        cache.put(resources.WORKERS, worker_document(name))
    cache.turn(OFF)
    assert {key.name for key in cache.turn(ON)} == {"a", "b"}
    assert cache.turn(ON) == set()
    assert {key.name for key in cache.turn(OFF)} == {"a", "b"}


def test_nothing_is_granted_and_what_nobody_claimed_is_taken_back() -> None:
    policy = with_pause(worker().watchdog, ON)
    unclaimed = asking("b", grant=grant(0))
    claimed = incident("c", phase="Acting", grant=grant(0), steps=[step(1)])
    incidents = [asking("a"), unclaimed, claimed]
    replicas = [replica(name) for name in "abc"]
    decision = decide_grants(policy=policy, incidents=incidents, replicas=replicas, wanted=3, now=NOW)
    assert decision.granted == ()
    assert decision.withdrawn == (unclaimed,)
    (waiting,) = decision.waiting
    assert (waiting.refusal, waiting.message) == (Refusal.PAUSED, f"paused: the whole cluster, {WHY}")


def test_the_policy_of_a_worker_is_its_own_again_afterwards() -> None:
    own = worker(watchdog={"paused": {"reason": "mine"}}).watchdog
    assert with_pause(own, OFF) is own
    assert with_pause(own, ON).paused == PausedPolicy(reason=f"the whole cluster, {WHY}")


def test_the_watchdogs_read_it_from_their_document_beside_the_workers_own() -> None:
    given = worker(watchdog={"paused": {"reason": "mine"}})
    text = policy_config_map(given, ON)["data"][names.POLICY_FILE]
    read = decode(Policy, json.loads(text))
    assert (read.cluster_paused, read.watchdog.paused) == (PausedPolicy(reason=WHY), PausedPolicy(reason="mine"))
    assert "clusterPaused" not in policy_config_map(given, OFF)["data"][names.POLICY_FILE]


def conditions(pause: ClusterPause, **watchdog: Any) -> dict[str, tuple[str, str]]:
    facts = Facts(
        worker=worker(watchdog=watchdog), replicas=[], incidents=[], rollout=Rollout(complete=True), pause=pause
    )
    return {c.type.value: (c.reason, c.message) for c in evaluate(facts)}


def test_a_condition_says_it() -> None:
    own = {"paused": {"reason": "mine"}}
    assert conditions(ON)["Paused"] == conditions(ON, **own)["Paused"] == ("WholeCluster", WHY)
    assert conditions(OFF, **own)["Paused"] == ("ThisWorker", "mine")
    assert not {"Paused", "PauseUnreadable"} & conditions(OFF).keys()


@pytest.mark.parametrize(("reason", "stays"), [("", "stays not paused as it was"), (WHY, "stays paused as it was")])
def test_another_says_that_it_is_not_understood(reason: str, stays: str) -> None:
    found = conditions(ClusterPause(reason=reason, problem="it has no key paused"))
    assert found["PauseUnreadable"][0] == "Malformed"
    assert stays in found["PauseUnreadable"][1]
    assert ("Paused" in found) is bool(reason)


def test_the_watchdogs_of_a_worker_that_is_not_understood_are_told_too() -> None:
    (paused,) = (c for c in unreadable("spec.engine: missing", ON) if c.type == "Paused")
    assert (paused.reason, paused.message) == ("WholeCluster", WHY)

"""Which quarantined pods are kept aside, which are held, and which are given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llm_watchdog.api import names
from llmworker_operator.adapters import resources
from llmworker_operator.adapters.cache import Cache
from llmworker_operator.domain.brake import find_brakes
from llmworker_operator.domain.conditions import evaluate
from llmworker_operator.domain.detachment import to_delete, to_detach
from llmworker_operator.domain.facts import Facts, Rollout
from llmworker_operator.reconcile.detachment import detach_patch
from tests.operator.making import KEY, NOW, incident, replica, stamp, worker

if TYPE_CHECKING:
    from llmworker_operator.domain.record import IncidentView

DETACH = {"quarantine": "Detach"}
HELD = replica("a", ready=False, rotation="Quarantined")


def quarantined(pod: str = "a", *, closed: float = -5, **fields: Any) -> IncidentView:
    return incident(pod, **{"phase": "Closed", "outcome": "Quarantined", "closedAt": stamp(closed), **fields})


def detached(*incidents: IncidentView, pods: list[Any] | None = None, aside: int = 0, **watchdog: Any) -> list[str]:
    policy = worker(watchdog={"remediation": DETACH, **watchdog}).watchdog
    kept = [replica(f"kept{n}", detached=True) for n in range(aside)]
    replicas = [HELD, replica("b")] if pods is None else pods
    return [r.name for r in to_detach(policy, incidents, replicas, aside=kept, brakes=())]


def test_a_quarantined_replica_is_detached() -> None:
    assert detached(quarantined()) == ["a"]


def test_hold_is_the_default() -> None:
    assert detached(quarantined(), remediation={}) == []


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(replica("a", rotation="Quarantined"), id="serves, whatever its reason says"),
        pytest.param(replica("a", ready=False, rotation="Starting"), id="released by its watchdog"),
        pytest.param(replica("a", ready=False, rotation="Quarantined", terminating=True), id="on its way out"),
        pytest.param(replica("a", ready=False, rotation="Quarantined", released="try"), id="a person is at it"),
        pytest.param(replica("a", ready=False, rotation="Quarantined", uid="x"), id="another pod of that name"),
    ],
)
def test_what_stays(pod: Any) -> None:
    assert detached(quarantined(), pods=[pod]) == []


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(incident("a", phase="Acting"), id="not on record yet"),
        pytest.param(quarantined(outcome="Recovered"), id="another end"),
        pytest.param(quarantined(mode="Observe"), id="observed"),
    ],
)
def test_the_record_comes_first(record: IncidentView) -> None:
    assert detached(record) == []


def test_nothing_is_known_nothing_is_detached() -> None:
    assert detached() == []
    assert detached(quarantined(), pods=[]) == []


def test_nothing_while_it_is_paused_or_observed() -> None:
    assert detached(quarantined(), paused={"reason": "x"}) == []
    assert detached(quarantined(), mode="Observe") == []


def test_the_cap_holds_the_rest_the_oldest_go_first() -> None:
    pods = [replica(name, ready=False, rotation="Quarantined") for name in "abc"]
    records = [quarantined("a", closed=-5), quarantined("b", closed=-50), quarantined("c", closed=-20)]
    assert detached(*records, pods=pods) == ["b"]
    assert detached(*records, pods=pods, aside=1) == []
    two = {**DETACH, "maxDetached": 2}
    assert detached(*records, pods=pods, remediation=two) == ["b", "c"]
    assert detached(*records, pods=pods, remediation=two, aside=1) == ["b"]


def test_not_while_a_common_cause_is_held() -> None:
    """Another pod would have it too, and the cause would seem to be over."""
    policy = worker(watchdog={"remediation": DETACH}).watchdog
    tried = quarantined("a", detected=-60, steps=[{"step": "Restart", "startedAt": stamp(-30), "outcome": "Failed"}])
    records = [tried, incident("b", detected=-50, phase="AwaitingGrant", requestedStep="Restart")]
    pods = [HELD, replica("b", ready=False)]
    brakes = find_brakes(policy=policy.remediation, incidents=records, replicas=pods, change=None, now=NOW)
    assert [brake.held for brake in brakes] == [True]
    assert to_detach(policy, records, pods, aside=[], brakes=brakes) == []
    assert to_detach(policy, records, pods, aside=[], brakes=()) == [HELD]


def test_a_released_one_is_deleted_once() -> None:
    kept = replica("a", detached=True)
    released = replica("b", detached=True, released="repaired")
    gone = replica("c", detached=True, released="repaired", terminating=True)
    assert to_delete([kept, released, gone]) == [released]


def test_no_selector_of_the_worker_finds_it_and_the_worker_owns_it() -> None:
    patch = detach_patch(replica("a", resource_version="9"), worker())["metadata"]
    assert (patch["uid"], patch["resourceVersion"]) == ("uid-a", "9")
    assert patch["labels"] == {names.LABEL_WORKER: "qwen.detached"}
    (owner,) = patch["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner.get("controller")) == ("LLMWorker", "uid-qwen", None)


def pod_document(label: str, version: str) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": KEY.namespace, "uid": "uid-a", "resourceVersion": version}
    return {"metadata": {**metadata, "labels": {names.LABEL_WORKER: label}}}


def test_the_cache_keeps_it_apart_from_the_replicas() -> None:
    cache = Cache()
    assert cache.put(resources.PODS, pod_document("qwen", "1")) == {KEY}
    assert cache.put(resources.PODS, pod_document("qwen.detached", "2")) == {KEY}
    assert cache.replicas.of(KEY) == []
    (kept,) = cache.detached(KEY)
    assert kept.detached
    assert cache.removed(resources.PODS, pod_document("qwen.detached", "3")) == {KEY}
    assert cache.detached(KEY) == []


def test_it_is_said_in_a_condition() -> None:
    facts = Facts(
        worker=worker(engine={"type": "vllm"}),
        replicas=[replica("a"), replica("b")],
        incidents=[],
        rollout=Rollout(exists=True, complete=True, message=""),
        detached=[replica("x", detached=True)],
    )
    (degraded,) = [c for c in evaluate(facts) if c.type == "Degraded"]
    assert (degraded.reason, degraded.message) == ("ReplicaQuarantined", "1 detached and kept for a person (x)")

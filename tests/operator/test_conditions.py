"""What the conditions of a worker say, condition by condition."""

from __future__ import annotations

from typing import Any

import pytest

from llmworker_operator.domain.cluster_pause import ClusterPause
from llmworker_operator.domain.condition import ConditionType
from llmworker_operator.domain.conditions import dated, evaluate, unreadable, worker_status
from llmworker_operator.domain.facts import Facts, Rollout, Stall, StallReason
from tests.operator.making import NOW, at, incident, replica, worker

DONE = Rollout(exists=True, complete=True, message="2 replicas rolled out")
BUSY = Rollout(exists=True, message="1 of 2 replicas are updated")


def facts(**fields: Any) -> Facts:
    given = {
        "worker": worker(engine={"type": "vllm"}),
        "replicas": [replica("a"), replica("b")],
        "incidents": [],
        "rollout": DONE,
    }
    return Facts(**{**given, **fields})


def seen(**fields: Any) -> dict[str, tuple[bool, str]]:
    return {c.type.value: (c.status, c.reason) for c in evaluate(facts(**fields))}


def test_a_healthy_worker_has_nothing_abnormal() -> None:
    assert seen() == {"Ready": (True, "EnoughInRotation"), "Available": (True, "EnoughInRotation")}


def test_an_incident_that_is_dealt_with_does_not_fail_a_sync() -> None:
    conditions = seen(replicas=[replica("a"), replica("b", ready=False)], incidents=[incident("b")])
    assert conditions["Ready"] == (True, "EnoughInRotation")
    assert conditions["Degraded"] == (True, "ReplicaFaulty")
    assert "Reconciling" not in conditions


@pytest.mark.parametrize(
    ("replicas", "budget", "ready", "available"),
    [
        (2, 1, 1, True),
        (2, 1, 0, False),
        (3, 1, 1, False),
        (3, 2, 1, True),
        (1, 1, 0, False),
        (1, 1, 1, True),
        (5, 9, 0, False),
        (0, 1, 0, True),
        (8, "25%", 6, True),
        (8, "25%", 5, False),
        (2, "100%", 0, False),
    ],
)
def test_available(replicas: int, budget: int | str, ready: int, *, available: bool) -> None:
    limited = {"remediation": {"budget": {"maxUnavailable": budget}}}
    conditions = seen(
        worker=worker(replicas=replicas, watchdog=limited), replicas=[replica(f"r{n}") for n in range(ready)]
    )
    assert conditions["Available"][0] is available
    assert conditions["Ready"][0] is available


def test_a_terminating_replica_is_not_in_rotation() -> None:
    gone = [replica("a", terminating=True), replica("b", terminating=True)]
    assert seen(replicas=gone)["Available"] == (False, "TooFewInRotation")


def test_a_rollout_is_reconciling() -> None:
    conditions = seen(rollout=BUSY)
    assert conditions["Ready"] == (False, "RollingOut")
    assert conditions["Reconciling"] == (True, "RollingOut")


@pytest.mark.parametrize(
    "fields",
    [
        {"stalls": [Stall(reason=StallReason.REFUSED, message="no")]},
        {"rollout": Rollout(exists=True, failure=Stall(reason=StallReason.REFUSED, message="no"))},
    ],
    ids=["by the API server", "by the Deployment's controller"],
)
def test_stalled_is_neither_ready_nor_reconciling(fields: dict[str, Any]) -> None:
    conditions = seen(**fields)
    assert conditions["Stalled"] == (True, "Refused")
    assert conditions["Ready"] == (False, "Refused")
    assert "Reconciling" not in conditions


def test_every_stall_is_in_the_message() -> None:
    stalls = [Stall(reason=StallReason.REFUSED, message="one"), Stall(reason=StallReason.NAME_TAKEN, message="two")]
    (stalled,) = [c for c in evaluate(facts(stalls=stalls)) if c.type is ConditionType.STALLED]
    assert (stalled.reason, stalled.message) == ("Refused", "one; two")


def test_quarantine_is_degraded() -> None:
    conditions = seen(replicas=[replica("a"), replica("b", ready=False, rotation="Quarantined")])
    assert conditions["Degraded"] == (True, "ReplicaQuarantined")


def test_a_failed_update_is_degraded() -> None:
    assert seen(degraded="no image", degraded_reason="WatchdogUpdateFailed")["Degraded"] == (
        True,
        "WatchdogUpdateFailed",
    )


@pytest.mark.parametrize(("state", "reason", "ready"), [("Asleep", "AsWished", True), ("Awake", "NotWished", False)])
def test_sleep(state: str, reason: str, *, ready: bool) -> None:
    asleep = [replica("a", ready=False, rotation="Asleep"), replica("b", ready=False, rotation="Asleep")]
    conditions = seen(worker=worker(power={"state": state}), replicas=asleep)
    assert conditions["Sleeping"] == (True, reason)
    assert conditions["Ready"][0] is ready


def test_half_asleep_is_not_asleep() -> None:
    assert "Sleeping" not in seen(replicas=[replica("a", rotation="Asleep"), replica("b")])


def limited(**engine: Any) -> tuple[str, str]:
    (condition,) = [c for c in evaluate(facts(worker=worker(engine=engine))) if c.type is ConditionType.LIMITED]
    return condition.reason, condition.message


def test_what_an_engine_lacks_is_said() -> None:
    reason, message = limited(type="fastchat")
    assert reason == "LeaksUnseen"
    assert message.startswith("leaked slots cannot be seen")
    assert "; its cache cannot be flushed" in message
    assert limited(type="fastchat", concurrency=5)[0] == "ProgressUnseen"
    assert limited(type="vllm", task="Embed")[0] == "NoCanary"


def test_a_limit_is_no_fault() -> None:
    conditions = seen(worker=worker(engine={"type": "openai"}))
    assert conditions.keys() == {"Ready", "Available", "Limited"}
    assert conditions["Ready"] == (True, "EnoughInRotation")


def test_held() -> None:
    assert seen(held="4 restarts", held_reason="HourlyLimit")["RemediationHeld"] == (True, "HourlyLimit")


def test_the_transition_time_is_kept_while_the_status_stays() -> None:
    first = dated(evaluate(facts(rollout=BUSY)), (), 1, NOW)
    second = dated(evaluate(facts(rollout=Rollout(exists=True, message="2 of 2"))), first, 2, at(60))
    third = dated(evaluate(facts()), second, 2, at(120))
    ready = [next(c for c in written if c["type"] == "Ready") for written in (first, second, third)]
    assert [c["lastTransitionTime"] for c in ready] == [
        "2026-11-21T12:00:00Z",
        "2026-11-21T12:00:00Z",
        "2026-11-21T12:02:00Z",
    ]
    assert [c["observedGeneration"] for c in ready] == [1, 2, 2]


def test_a_message_of_pages_is_cut() -> None:
    stalls = [Stall(reason=StallReason.REFUSED, message="x" * 5000)]
    assert all(len(c["message"]) <= 1024 for c in dated(evaluate(facts(stalls=stalls)), (), 1, NOW))


def test_the_status_counts() -> None:
    status = worker_status(
        facts(
            replicas=[replica("a"), replica("b", ready=False), replica("c", terminating=True)],
            incidents=[incident("b"), incident("a", "old", phase="Closed", outcome="Recovered")],
        ),
        "llmworker.dev/worker=qwen",
        NOW,
    )
    assert {k: v for k, v in status.items() if k != "conditions"} == {
        "observedGeneration": 3,
        "replicas": 2,
        "readyReplicas": 1,
        "selector": "llmworker.dev/worker=qwen",
        "openIncidents": 1,
    }


def test_an_unreadable_spec_is_stalled() -> None:
    assert {(c.type.value, c.status) for c in unreadable("spec.engine: missing", ClusterPause())} == {
        ("Ready", False),
        ("Stalled", True),
    }

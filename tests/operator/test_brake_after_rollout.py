"""A fault soon after a rollout: the rollout is the suspect, and it concerns the replicas of that revision only."""

from __future__ import annotations

from typing import Any

import pytest

from llmworker_operator.domain.grants import GrantDecision, decide_grants
from llmworker_operator.domain.refusals import Refusal
from llmworker_operator.domain.replica import read_replica
from llmworker_operator.domain.rollout import Change, last_change
from tests.operator.making import asking, at, incident, replica, stamp, step, worker

DONE = Change(revision=3, finished_at=at(-300))
UNDER_WAY = Change(revision=3)


def pod(name: str, revision: str = "new", *, created: float = -600) -> Any:
    return replica(name, ready=False, revision=revision, created_at=at(created))


NEW = [pod(name) for name in "abcdef"]
MIXED = [
    pod("a"),
    pod("b", created=-100),
    *(pod(name, "old", created=-9000) for name in "cde"),
    pod("f", "old", created=-50),
]
"""The last one was evicted, and made anew after the pods of the new revision."""


def failed(name: str, **fields: Any) -> Any:
    ended: dict[str, Any] = {
        "phase": "Closed",
        "outcome": "Quarantined",
        "closedAt": stamp(-5),
        "steps": [step(-20, outcome="Failed")],
    }
    return incident(name, detected=-60, **ended, **fields)


def decide(*incidents: Any, replicas: Any = NEW, change: Change | None = DONE, **brake: Any) -> GrantDecision:
    remediation = {"budget": {"maxUnavailable": 6, "maxPerHour": 50}, "brake": brake}
    return decide_grants(
        policy=worker(watchdog={"remediation": remediation}).watchdog,
        incidents=incidents,
        replicas=replicas,
        wanted=6,
        now=at(0),
        change=change,
    )


def outcome(decision: GrantDecision) -> dict[str, str]:
    waiting = {w.incident.removeprefix("incident-"): w.refusal.value for w in decision.waiting}
    return {**{g.incident.pod_name: "granted" for g in decision.granted}, **waiting}


TRIAL, HELD = Refusal.TRIAL_UNDER_WAY.value, Refusal.COMMON_CAUSE.value


def test_two_of_six_with_two_faults_and_one_is_the_trial() -> None:
    assert outcome(decide(asking("a"), asking("b", fault="EngineDead"))) == {"a": "granted", "b": TRIAL}


def test_a_failed_trial_holds_the_others_and_names_the_revision() -> None:
    decision = decide(failed("a"), asking("b", fault="EngineDead"))
    assert outcome(decision) == {"b": HELD}
    (brake,) = decision.brakes
    assert brake.message == (
        "2 of 6 replicas (a, b) have EngineDead or StalledStream, soon after a rollout. The trial restart of pod a at"
        " 11:59:40 did not cure it (its incident incident-a was closed as Quarantined). The rollout of revision 3"
        " (pod-template-hash new), finished at 11:55:00, is the suspect: put the earlier template back if it is."
        " Nothing more is restarted while it stands."
    )


def test_a_proven_trial_lets_the_others_follow() -> None:
    cured = incident("a", detected=-60, phase="Closed", outcome="Recovered", steps=[step(-20, outcome="Succeeded")])
    assert outcome(decide(cured, asking("b"), asking("c", fault="EngineDead"))) == {"b": "granted", "c": "granted"}


@pytest.mark.parametrize(
    ("change", "brake"),
    [
        pytest.param(None, {}, id="no rollout"),
        pytest.param(Change(revision=3, finished_at=at(-661)), {}, id="long ago"),
        pytest.param(DONE, {"afterRollout": "0s"}, id="never"),
        pytest.param(DONE, {"afterRollout": "239s"}, id="another time"),
        pytest.param(DONE, {"state": "Disabled"}, id="switched off"),
    ],
)
def test_a_rollout_that_is_no_suspect(change: Change | None, brake: dict[str, Any]) -> None:
    others = [asking("b", detected=-60, fault="EngineDead"), asking("c", detected=-60, fault="WakeFailed")]
    decision = decide(failed("a"), *others, change=change, **brake)
    assert set(outcome(decision).values()) == {"granted"}
    assert not decision.brakes


def test_what_comes_later_is_not_held() -> None:
    later = asking("b", detected=-1, fault="EngineDead")
    assert outcome(decide(failed("a"), later, change=Change(revision=3, finished_at=at(-630)))) == {"b": "granted"}


def test_replicas_of_the_old_revision_are_innocent() -> None:
    decision = decide(
        failed("a"),
        asking("b", fault="WakeFailed"),
        asking("c", fault="EngineDead"),
        asking("f", fault="EngineDead", detected=-1),
        replicas=MIXED,
        change=UNDER_WAY,
    )
    assert outcome(decision) == {"b": HELD, "c": "granted", "f": "granted"}
    (brake,) = decision.brakes
    assert "The rollout of revision 3 (pod-template-hash new), still under way, is the suspect" in brake.message


def test_a_common_cause_names_the_rollout_too() -> None:
    decision = decide(failed("a"), asking("b"), asking("c"))
    assert outcome(decision) == {"b": HELD, "c": HELD}
    assert "3 of 6 replicas (a, b, c) have StalledStream, a common cause." in decision.brakes[0].message
    assert "is the suspect" in decision.brakes[0].message


def test_pods_that_nobody_labelled_have_no_revision() -> None:
    bare = [replica(name, ready=False) for name in "abcdef"]
    assert not decide(failed("a"), asking("b", fault="EngineDead"), replicas=bare).brakes


def test_the_revision_of_a_pod_is_read_from_what_its_controller_wrote() -> None:
    metadata = {"name": "a", "uid": "u", "creationTimestamp": stamp(-60), "labels": {"pod-template-hash": "6d4cf56db6"}}
    read = read_replica({"metadata": metadata})
    assert (read.revision, read.created_at) == ("6d4cf56db6", at(-60))
    bare = read_replica({"metadata": {"name": "a", "uid": "u"}})
    assert (bare.revision, bare.created_at) == ("", None)


def deployment(revision: str | None = "2", *, reason: str = "NewReplicaSetAvailable", **status: Any) -> dict[str, Any]:
    annotations = {} if revision is None else {"deployment.kubernetes.io/revision": revision}
    progress = {"type": "Progressing", "status": "True", "reason": reason, "lastUpdateTime": stamp(-60)}
    return {
        "metadata": {"annotations": annotations},
        "status": {"updatedReplicas": 1, "conditions": [progress], **status},
    }


def test_the_end_of_the_last_rollout() -> None:
    assert last_change(deployment()) == Change(revision=2, finished_at=at(-60))
    assert last_change(deployment("12", reason="ReplicaSetUpdated")) == Change(revision=12)
    assert last_change(deployment(conditions=[])) == Change(revision=2)


@pytest.mark.parametrize(
    "given",
    [
        None,
        deployment("1"),
        deployment(None),
        deployment("x"),
        deployment(updatedReplicas=0),
        {"metadata": {}},
    ],
    ids=["no Deployment", "the first", "not numbered yet", "not a number", "no pod of it", "nothing known"],
)
def test_no_rollout(given: dict[str, Any] | None) -> None:
    assert last_change(given) is None

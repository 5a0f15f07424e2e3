"""Reading a Deployment's status."""

from __future__ import annotations

from typing import Any

import pytest

from llmworker_operator.domain.facts import StallReason
from llmworker_operator.domain.rollout import read_rollout

AVAILABLE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}


def deployment(wanted: int = 2, **status: Any) -> dict[str, Any]:
    counted = {"observedGeneration": 4, "updatedReplicas": 2, "replicas": 2, "conditions": [AVAILABLE], **status}
    return {"metadata": {"generation": 4}, "spec": {"replicas": wanted}, "status": counted}


def test_complete() -> None:
    assert read_rollout(deployment()).complete


def test_a_replica_that_fails_later_does_not_undo_a_rollout() -> None:
    assert read_rollout(deployment(availableReplicas=1, readyReplicas=1)).complete


@pytest.mark.parametrize(
    "status",
    [
        {"observedGeneration": 3},
        {"updatedReplicas": 1},
        {"replicas": 3},
        {"conditions": [{**AVAILABLE, "reason": "ReplicaSetUpdated"}]},
        {"conditions": []},
    ],
)
def test_incomplete(status: dict[str, Any]) -> None:
    assert not read_rollout(deployment(**status)).complete


def test_nothing_wanted_nothing_to_wait_for() -> None:
    assert read_rollout(deployment(0, updatedReplicas=0, replicas=0, conditions=[])).complete


def test_absent() -> None:
    assert not read_rollout(None).exists


def test_quota_and_pod_security() -> None:
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    failure = read_rollout(deployment(conditions=[AVAILABLE, refused])).failure
    assert failure is not None
    assert (failure.reason, failure.message) == (StallReason.REPLICA_FAILURE, "exceeded quota")


def test_progress_deadline() -> None:
    stuck = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
    failure = read_rollout(deployment(conditions=[stuck])).failure
    assert failure is not None
    assert failure.reason is StallReason.PROGRESS_DEADLINE

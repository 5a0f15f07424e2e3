"""Reads a Deployment's status as `kubectl rollout status` does. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmworker_operator.domain.facts import Rollout, Stall, StallReason

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_rollout(deployment: Mapping[str, Any] | None) -> Rollout:
    """Complete once all replicas were up with the present template; a replica that fails later does not undo that."""
    if deployment is None:
        return Rollout()
    status = deployment.get("status") or {}
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    failure = _failure(conditions)
    generation = deployment["metadata"].get("generation", 0)
    if status.get("observedGeneration", 0) < generation:
        return Rollout(exists=True, message=f"Deployment generation {generation} is not observed yet", failure=failure)
    wanted = (deployment.get("spec") or {}).get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    finished = (conditions.get("Progressing") or {}).get("reason") == "NewReplicaSetAvailable" or wanted == 0
    if updated < wanted or total > updated or not finished:
        message = f"{updated} of {wanted} replicas are updated, {status.get('availableReplicas', 0)} available"
        return Rollout(exists=True, message=message, failure=failure)
    return Rollout(exists=True, complete=True, message=f"{wanted} replicas rolled out", failure=failure)


def _failure(conditions: Mapping[Any, Mapping[str, Any]]) -> Stall | None:
    refused = conditions.get("ReplicaFailure") or {}
    if refused.get("status") == "True":
        return Stall(reason=StallReason.REPLICA_FAILURE, message=refused.get("message", "pods cannot be created"))
    progress = conditions.get("Progressing") or {}
    if progress.get("status") == "False":
        return Stall(reason=StallReason.PROGRESS_DEADLINE, message=progress.get("message", "the rollout stands still"))
    return None

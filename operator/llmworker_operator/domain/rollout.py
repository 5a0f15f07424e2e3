"""Reads a Deployment's status as `kubectl rollout status` does. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llmworker_operator.domain.facts import Rollout, Stall, StallReason
from llmworker_operator.domain.times import read_time

if TYPE_CHECKING:
    from collections.abc import Mapping

ANNOTATION_REVISION = "deployment.kubernetes.io/revision"
"""Counted by the Deployment's controller, from 1; a template that is put back gets a new number too."""

ALL_UP = "NewReplicaSetAvailable"
"""Reason of the condition `Progressing` since all replicas were up with the template for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The last time that a worker's pods got another template."""

    revision: int
    finished_at: datetime | None = None
    """None: it is still under way."""


def last_change(deployment: Mapping[str, Any] | None) -> Change | None:
    """None while there is only the first template, or no pod of the new one."""
    if deployment is None:
        return None
    annotations, status = deployment["metadata"].get("annotations") or {}, deployment.get("status") or {}
    revision = str(annotations.get(ANNOTATION_REVISION, ""))
    if not revision.isdigit() or int(revision) <= 1 or not status.get("updatedReplicas"):
        return None
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    progress = conditions.get("Progressing") or {}
    finished = read_time(progress.get("lastUpdateTime")) if progress.get("reason") == ALL_UP else None
    return Change(revision=int(revision), finished_at=finished)


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
    finished = (conditions.get("Progressing") or {}).get("reason") == ALL_UP or wanted == 0
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

"""What one pass knows when the status is written. Records only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from llmworker_operator.domain.cluster_pause import ClusterPause
from llmworker_operator.domain.dissent import Dissent
from llmworker_operator.domain.nodes import SuspectNode
from llmworker_operator.domain.record import IncidentView
from llmworker_operator.domain.replica import Replica
from llmworker_operator.domain.worker import Worker


class StallReason(StrEnum):
    """Why a worker cannot get on without a person."""

    NAME_TAKEN = "NameTaken"
    """A child's name belongs to somebody else's object, which is never adopted."""
    REFUSED = "Refused"
    """The API server refuses a child; its message says why."""
    REPLICA_FAILURE = "ReplicaFailure"
    """Accepted, but pods cannot be created: quota, pod security."""
    PROGRESS_DEADLINE = "ProgressDeadlineExceeded"
    """The rollout takes longer than engines may take to start."""
    ADMISSION_POLICY = "AdmissionPolicyMissing"
    """The policies that confine the watchdog's token are missing, edited or not Deny: no rights are given."""
    ROLLED_BACK = "RolledBack"
    """The brake blamed the rollout of the present template, and the one before it is in force again."""
    SPEC_UNREADABLE = "SpecUnreadable"
    """Stored before the present schema, and no longer understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """One thing in the way."""

    reason: StallReason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The Deployment, as its own controller reports it."""

    exists: bool = False
    complete: bool = False
    message: str = "the Deployment does not exist yet"
    failure: Stall | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Input of the conditions."""

    worker: Worker
    replicas: Sequence[Replica]
    incidents: Sequence[IncidentView]
    rollout: Rollout
    stalls: Sequence[Stall] = ()
    waits: str = ""
    """For what of somebody else's this pass waits."""
    held: str = ""
    """Why remediation is held back, with numbers."""
    held_reason: str = ""
    detached: Sequence[Replica] = ()
    """Kept aside for a person."""
    degraded: str = ""
    """A failed watchdog update, for example: something that is wrong besides the open incidents."""
    degraded_reason: str = ""
    rolled_back: str = ""
    """Why the last good template is in force instead of the present one."""
    dissents: Sequence[Dissent] | None = None
    """None: this process has not compared yet, and what it found before stays."""
    suspect_nodes: Sequence[SuspectNode] = ()
    pause: ClusterPause = field(default_factory=ClusterPause)

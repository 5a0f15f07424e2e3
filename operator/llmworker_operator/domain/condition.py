"""A condition as it is found, and all the types that there are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from llm_watchdog.api import names


class ConditionType(StrEnum):
    """Types of `status.conditions`."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    AVAILABLE = "Available"
    DEGRADED = "Degraded"
    SLEEPING = "Sleeping"
    REMEDIATION_HELD = "RemediationHeld"
    ROLLED_BACK = "RolledBack"
    LIMITED = "Limited"
    NODE_SUSPECT = "NodeSuspect"
    REPLICAS_DISAGREE = "ReplicasDisagree"
    PAUSED = names.CONDITION_PAUSED
    PAUSE_UNREADABLE = "PauseUnreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition before it has a transition time."""

    type: ConditionType
    status: bool
    reason: str
    message: str

"""The durable record of one fault of one replica, as it stands in the journal and in the `LLMIncident` object.

Holds the watchdog's own numbers and sentences, never a user's prompt or answer (invariant 12).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from llm_watchdog.api.reasons import (
    FaultClass,
    FindingReason,
    GrantableStep,
    Mode,
    Outcome,
    Phase,
    Rung,
    StepOutcome,
    VerdictState,
)

EVIDENCE_MAX = 16
"""Entries kept per incident: the first half and the last half; what lies between is counted, not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRef:
    """The LLMWorker, in the incident's own namespace."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRef:
    """The replica. The uid tells it from a later pod of the same name."""

    name: str
    uid: str
    node: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentSpec:
    """Immutable once created."""

    worker_ref: WorkerRef
    pod_ref: PodRef
    fault: FaultClass
    detected_at: datetime
    mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One observation that the finding rests on."""

    at: datetime
    kind: str
    """`Canary`, `Check`, `Metrics`, `Health`, `Load`, `Sockets` or `State`."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rung, written before it begins and again when it ends."""

    step: Rung
    started_at: datetime
    finished_at: datetime | None = None
    outcome: StepOutcome | None = None
    proof: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The operator's permission; the only part of the status that it writes while the incident is open."""

    step: GrantableStep
    granted_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentStatus:
    """Written by the watchdog by server-side apply, except `grant` (and the close as `Lost`)."""

    phase: Phase = Phase.OPEN
    outcome: Outcome | None = None
    reason: FindingReason
    message: str
    verdict: VerdictState | None = None
    """On this fault: `Suspect`, or `Faulty` once the evidence suffices to kill."""
    requested_step: GrantableStep | None = None
    """What a grant is asked for, while the phase is `AwaitingGrant`."""
    grant: Grant | None = None
    evidence: list[Evidence] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    out_of_rotation_at: datetime | None = None
    closed_at: datetime | None = None
    time_to_detect_seconds: float | None = None
    """From the last sign of health to `detectedAt`."""
    time_to_act_seconds: float | None = None
    """From `detectedAt` to the begin of the first disruptive rung."""
    time_to_recover_seconds: float | None = None
    """From `detectedAt` to the proof."""
    occurrences: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Name and namespace identify it; the rest is what the API object holds."""

    name: str
    namespace: str
    spec: IncidentSpec
    status: IncidentStatus

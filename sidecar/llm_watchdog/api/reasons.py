"""Closed vocabularies. Every decision carries one of these and a sentence with numbers, never one without the other."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """What the watchdog may do about a finding."""

    ENFORCE = "Enforce"
    OBSERVE = "Observe"


class FaultClass(StrEnum):
    """What is wrong with a replica. One open incident per replica and class."""

    STALLED_STREAM = "StalledStream"
    ENGINE_DEAD = "EngineDead"


class FindingReason(StrEnum):
    """Why a detector speaks up."""

    NO_FIRST_TOKEN = "NoFirstToken"
    """The engine was asked and sent no generated token within the deadline."""
    TOKEN_GAP = "TokenGap"
    """A canary stream began and then stopped moving."""
    NO_PROGRESS = "NoProgress"
    """Clients are connected, no byte moves on any connection and no counter of the engine moves."""
    ADMISSION_STALLED = "AdmissionStalled"
    """Requests wait although nothing runs and the cache is free."""
    HEALTH_FAILING = "HealthFailing"
    """The engine's own health endpoint answers 5xx in a running container."""
    COMPLETIONS_FAILING = "CompletionsFailing"
    """Generation requests are answered with 5xx at once."""


class VerdictState(StrEnum):
    """Four answers, not two: no data is `Unknown`, and `Unknown` never acts."""

    HEALTHY = "Healthy"
    SUSPECT = "Suspect"
    FAULTY = "Faulty"
    UNKNOWN = "Unknown"


class UnknownReason(StrEnum):
    """Why nothing can be said."""

    STARTING = "Starting"
    """The engine has not answered once since this process, or the engine, started."""
    PROBE_FAILED = "ProbeFailed"
    """The watchdog could not send its probe; says nothing about the engine."""
    CANARY_REJECTED = "CanaryRejected"
    """The engine answers the canary with a 4xx: the canary is wrong, or the key is."""
    ASLEEP = "Asleep"
    """Sleeping or paused; a generation request would hang by design."""
    NO_CANARY = "NoCanary"
    """The task of this engine allows no canary (`task: None`), so silence cannot be told from idleness."""


class RotationReason(StrEnum):
    """Reason of the pod condition `llmworker.dev/InRotation`."""

    SERVING = "Serving"
    STARTING = "Starting"
    ASLEEP = "Asleep"
    WAKE_GATE = "WakeGate"
    DRAINING = "Draining"
    FAULTY = "Faulty"
    QUARANTINED = "Quarantined"


class Rung(StrEnum):
    """One step of a ladder, mildest first."""

    DRAIN = "Drain"
    RESTART = "Restart"
    QUARANTINE = "Quarantine"


class GrantableStep(StrEnum):
    """What needs the operator's permission."""

    LEAVE_ROTATION = "LeaveRotation"
    RESTART = "Restart"


class Phase(StrEnum):
    """Where an incident stands. Absent in the API object means `Open`."""

    OPEN = "Open"
    AWAITING_GRANT = "AwaitingGrant"
    ACTING = "Acting"
    VERIFYING = "Verifying"
    CLOSED = "Closed"


class Outcome(StrEnum):
    """How an incident ended."""

    RECOVERED = "Recovered"
    SELF_HEALED = "SelfHealed"
    QUARANTINED = "Quarantined"
    OBSERVED = "Observed"
    LOST = "Lost"


class StepOutcome(StrEnum):
    """How a rung ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    UNAVAILABLE = "Unavailable"
    DRY_RUN = "DryRun"


class RestartMethod(StrEnum):
    """How `Restart` is done in a pod, chosen by the operator (`design.md` section 6)."""

    ALL_CONTAINERS = "AllContainers"
    LIVENESS_PROBE = "LivenessProbe"
    UNAVAILABLE = "Unavailable"

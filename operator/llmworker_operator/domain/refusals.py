"""Why a request for a step waits, and whose restart costs nobody anything. Words only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from llm_watchdog.api.reasons import FindingReason

SERVES_NOTHING: Final = frozenset(
    {
        FindingReason.NO_FIRST_TOKEN,
        FindingReason.TOKEN_GAP,
        FindingReason.NO_PROGRESS,
        FindingReason.HEALTH_FAILING,
        FindingReason.COMPLETIONS_FAILING,
        FindingReason.OUT_OF_MEMORY,
        FindingReason.START_TIMED_OUT,
        FindingReason.WAKE_ERROR,
        FindingReason.AWAKE_BUT_SILENT,
        FindingReason.PAUSED_TOO_LONG,
        FindingReason.QUEUE_AT_LIMIT,
        FindingReason.SLOT_PROBE_HANGS,
    }
)
"""Findings that mean that no user gets an answer from this replica: its restart costs nothing."""


class Refusal(StrEnum):
    """Why a request waits."""

    BUDGET_IN_USE = "BudgetInUse"
    HOURLY_LIMIT = "HourlyLimit"
    ATTEMPTS_EXHAUSTED = "AttemptsExhausted"
    """The replica was restarted often enough: the next step of the ladder is due, not another restart."""
    TRIAL_UNDER_WAY = "TrialUnderWay"
    """Several replicas fail alike: one is restarted first."""
    COMMON_CAUSE = "CommonCause"
    """The trial was not proven."""
    COOLDOWN = "Cooldown"
    REPLICA_BUSY = "ReplicaBusy"
    LAST_IN_ROTATION = "LastInRotation"
    OBSERVE_ONLY = "ObserveOnly"
    """Or the fault class is switched off."""
    PAUSED = "Paused"
    RIGHTS_WITHDRAWN = "RightsWithdrawn"
    NO_STEP = "NoStep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A request that was not granted in this pass."""

    incident: str
    refusal: Refusal
    message: str
    until: datetime | None = None

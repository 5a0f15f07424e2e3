"""`EngineDead`: a process that still listens answers with errors at once, and keeps doing so.

A 503 for a moment is a shutdown; a 503 to completions with a healthy health endpoint is a full queue or a pause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.canaries import NO_EVIDENCE_OUTCOMES, CanaryObservation, CanaryOutcome
from llm_watchdog.core.findings import Finding
from llm_watchdog.core.signs import counted, signs
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy
    from llm_watchdog.core.observations import HealthObservation
    from llm_watchdog.core.window import Window

SERVER_ERROR: Final = 500
UNAVAILABLE: Final = 503
FAILURES_BEFORE_RESTART: Final = 3
STALE_SECONDS: Final = 15.0

_FAILING: Final = frozenset({CanaryOutcome.SERVER_ERROR, CanaryOutcome.ERROR_IN_STREAM})


def engine_dead(window: Window, _target: EngineTarget, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    """Judge the errors since the last sign of life."""
    policy = thresholds.engine_dead
    horizon = window.horizon(now)
    unhealthy = _failing_health(window)
    failed = _failed_canaries(window, excuse_busy=not unhealthy)
    if not failed or _end(failed[-1]) < horizon - STALE_SECONDS:
        return None
    since = min([failed[0].started_at, *(health.at for health in unhealthy)])
    until = max([_end(failed[-1]), *(health.at for health in unhealthy)])
    lasted = window.seen_seconds(Span(since, until))
    if lasted < policy.deadline:
        return None
    faulty = lasted >= policy.restart_deadline and len(failed) >= FAILURES_BEFORE_RESTART
    reason = FindingReason.HEALTH_FAILING if unhealthy else FindingReason.COMPLETIONS_FAILING
    return Finding(
        fault=FaultClass.ENGINE_DEAD,
        reason=reason,
        state=VerdictState.FAULTY if faulty else VerdictState.SUSPECT,
        message=_message(failed, unhealthy, lasted),
        since=since,
        silent=True,
        signs=signs(window, failed, now),
    )


def _message(failed: list[CanaryObservation], unhealthy: list[HealthObservation], lasted: float) -> str:
    newest = failed[-1]
    answer = f"HTTP {newest.http_status}" if newest.outcome is CanaryOutcome.SERVER_ERROR else "an error in the stream"
    health = (
        f"the health endpoint says {unhealthy[-1].http_status}"
        if unhealthy
        else "the health endpoint says nothing of it"
    )
    return f"{counted(failed)} failed over {lasted:.1f} s, the last with {answer}; {health}"


def _failing_health(window: Window) -> list[HealthObservation]:
    """The trailing 5xx of the health endpoint since the last sign of life, oldest first."""
    found: list[HealthObservation] = []
    for health in reversed(window.health):
        if (health.http_status or 0) < SERVER_ERROR or _is_past(window, health.at):
            break
        found.append(health)
    return found[::-1]


def _failed_canaries(window: Window, *, excuse_busy: bool) -> list[CanaryObservation]:
    """The trailing canaries that were answered with an error since the last sign of life, oldest first."""
    found: list[CanaryObservation] = []
    for canary in reversed(window.canaries):
        if canary.outcome in NO_EVIDENCE_OUTCOMES or canary.outcome is CanaryOutcome.IN_PROGRESS:
            continue
        excused = excuse_busy and canary.http_status == UNAVAILABLE
        if canary.outcome not in _FAILING or excused or _is_past(window, canary.started_at):
            break
        found.append(canary)
    return found[::-1]


def _is_past(window: Window, at: float) -> bool:
    return window.last_life_at is not None and at < window.last_life_at


def _end(canary: CanaryObservation) -> float:
    return canary.started_at if canary.finished_at is None else canary.finished_at

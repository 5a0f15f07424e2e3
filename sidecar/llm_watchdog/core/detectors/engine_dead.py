"""`EngineDead`: a process that still listens answers with errors at once, and keeps doing so; or it does not come up.

A 503 for a moment is a shutdown; a 503 to completions with a healthy health endpoint is a full queue or a pause; a 503
of both is an engine that loads, pauses or drains, which `core.intake` takes for a new start: it has the start-up limit.
An error that a gateway relays is no fault of its own, and no restart of it a cure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.canaries import (
    NO_EVIDENCE_OUTCOMES,
    SILENT_OUTCOMES,
    CanaryObservation,
    CanaryOutcome,
    Flaw,
)
from llm_watchdog.core.container import OOM_KILLED
from llm_watchdog.core.findings import Finding
from llm_watchdog.core.flaws import SERVER_ERROR, flaw_of, is_relayed
from llm_watchdog.core.signs import counted, signs
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy
    from llm_watchdog.core.observations import HealthObservation
    from llm_watchdog.core.window import Window

UNAVAILABLE: Final = 503
FAILURES_FOR_AN_INCIDENT: Final = 2
FAILURES_BEFORE_RESTART: Final = 3
STALE_SECONDS: Final = 15.0
CERTAIN: Final = 2.0
"""Times the deadline: an engine that died is gone by itself in a moment, or stays as it is."""

_FAILING: Final = frozenset({CanaryOutcome.SERVER_ERROR, CanaryOutcome.ERROR_IN_STREAM})
_NOT_UP: Final = SILENT_OUTCOMES | {CanaryOutcome.REFUSED, CanaryOutcome.SERVER_ERROR, CanaryOutcome.INCOMPLETE}


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
    relayed = failed[-1].flaw is Flaw.UPSTREAM_FAILED
    excused = relayed or _is_unavailable(failed, unhealthy)
    faulty = not excused and lasted >= policy.restart_deadline and len(failed) >= FAILURES_BEFORE_RESTART
    certain = lasted >= (policy.restart_deadline if relayed else CERTAIN * policy.deadline)
    return Finding(
        fault=FaultClass.ENGINE_DEAD,
        reason=_reason(failed, unhealthy),
        state=VerdictState.FAULTY if faulty else VerdictState.SUSPECT,
        message=_message(failed, unhealthy, lasted),
        since=since,
        silent=not relayed,
        signs=signs(window, failed, now),
        incident=faulty
        or (certain and len(failed) >= FAILURES_FOR_AN_INCIDENT and not _is_unavailable(failed, unhealthy)),
    )


def start_timed_out(window: Window, limit: float, now: float) -> Finding | None:
    """Another process, or a load, that began under our eyes `limit` seconds ago and still does not answer.

    An engine that never answered at all is left to Kubernetes (`progressDeadlineSeconds`): the watchdog knows nothing
    of what it would be like in good health.
    """
    horizon, since = window.horizon(now), window.starting_since
    newest = next((c for c in reversed(window.canaries) if c.outcome not in NO_EVIDENCE_OUTCOMES), None)
    if since is None or newest is None or window.answered or not window.came_up or newest.outcome not in _NOT_UP:
        return None
    end = horizon if newest.outcome is CanaryOutcome.IN_PROGRESS else _end(newest)
    lasted = window.seen_seconds(Span(since, horizon))
    if lasted < limit or end < horizon - STALE_SECONDS or _is_past(window, since):
        return None
    killed = window.last_exit == OOM_KILLED
    why = f"{window.void_because or 'a load'}{'; its last container was killed for want of memory' if killed else ''}"
    return Finding(
        fault=FaultClass.ENGINE_DEAD,
        reason=FindingReason.OUT_OF_MEMORY if killed else FindingReason.START_TIMED_OUT,
        state=VerdictState.FAULTY,
        message=f"no canary was answered for {lasted:.0f} s since it started anew ({why})",
        since=since,
        silent=True,
        signs=signs(window, window.canaries[-1:], now),
    )


def _reason(failed: list[CanaryObservation], unhealthy: list[HealthObservation]) -> FindingReason:
    if failed[-1].flaw is Flaw.UPSTREAM_FAILED:
        return FindingReason.UPSTREAM_FAILED
    if any(canary.flaw is Flaw.OUT_OF_MEMORY for canary in failed):
        return FindingReason.OUT_OF_MEMORY
    return FindingReason.HEALTH_FAILING if unhealthy else FindingReason.COMPLETIONS_FAILING


def _message(failed: list[CanaryObservation], unhealthy: list[HealthObservation], lasted: float) -> str:
    newest = failed[-1]
    answer = f"HTTP {newest.http_status}" if newest.outcome is CanaryOutcome.SERVER_ERROR else "an error in the stream"
    relayed = " that is relayed from upstream" if newest.flaw is Flaw.UPSTREAM_FAILED else ""
    memory = ": out of memory" if newest.flaw is Flaw.OUT_OF_MEMORY else ""
    health = (
        f"the health endpoint says {unhealthy[-1].http_status}"
        if unhealthy
        else "the health endpoint says nothing of it"
    )
    return f"{counted(failed)} failed over {lasted:.1f} s, the last with {answer}{relayed}{memory}; {health}"


def _is_unavailable(failed: list[CanaryObservation], unhealthy: list[HealthObservation]) -> bool:
    answers = {canary.http_status for canary in failed} | {health.http_status for health in unhealthy}
    return answers == {UNAVAILABLE}


def _failing_health(window: Window) -> list[HealthObservation]:
    """The trailing 5xx of the health endpoint since the last sign of life, oldest first."""
    found: list[HealthObservation] = []
    for health in reversed(window.health):
        if (health.http_status or 0) < SERVER_ERROR or _is_past(window, health.at):
            break
        found.append(health)
    return found[::-1]


def _failed_canaries(window: Window, *, excuse_busy: bool) -> list[CanaryObservation]:
    """The trailing canaries that were answered with an error since the last sign of life, oldest first.

    Relayed errors and errors of its own are not counted together.
    """
    found: list[CanaryObservation] = []
    for canary in reversed(window.canaries):
        if canary.outcome in NO_EVIDENCE_OUTCOMES or canary.outcome is CanaryOutcome.IN_PROGRESS:
            continue
        excused = excuse_busy and canary.http_status == UNAVAILABLE and not is_relayed(canary)
        other = bool(found) and is_relayed(canary) is not is_relayed(found[-1])
        if not _is_failure(canary) or excused or other or _is_past(window, canary.started_at):
            break
        found.append(canary)
    return found[::-1]


def _is_failure(canary: CanaryObservation) -> bool:
    """An error inside a stream that carried tokens, or of no 5xx, is another class's (`IncompleteStream`)."""
    return canary.outcome in _FAILING and (is_relayed(canary) or flaw_of(canary) is not Flaw.ERROR_IN_STREAM)


def _is_past(window: Window, at: float) -> bool:
    return window.last_life_at is not None and at < window.last_life_at


def _end(canary: CanaryObservation) -> float:
    return canary.started_at if canary.finished_at is None else canary.finished_at
